#!/usr/bin/env python3
"""changes.py IDENTITY STRANGER CLIENTS HOSTS ACKED URL...: clients that change networks through
an authority that is killed now and then, and know what has to be there afterwards.

Each client has VNs and hosts of its own (host K of client C is cChK), one connection, and one
change under way at a time. Of each it notes what became of it:

  acknowledged  200: it has to be there, whole, and in the audit log once, by its ID
  refused       4xx: nothing of it may be there; in the audit log once, as refused
  not done      503 that says so: as if it had never been asked
  unknown       the connection broke, or 503 that says so: it is there whole, or not at all

After an unknown one the client makes another VN. Changes are decided on one order of all, so once
that is acknowledged, the unknown one is done or never will be, and what this process shows is held
against both. The same is done every so often without a reason, and at the end at each URL.

Changes of a stranger, who may not do them, go with it. ACKED grows by a byte with each
acknowledged change. SIGTERM ends it; figures go to standard output as JSON: `faults` has what is
wrong, and is to be empty."""
import http.client
import json
import random
import select
import signal
import ssl
import sys
import threading
import time
import urllib.parse

identity, stranger, clients, hosts, acked_path = sys.argv[1:6]
urls = [urllib.parse.urlsplit(u) for u in sys.argv[6:]]
clients, hosts = int(clients), int(hosts)
PAGE = 500  # records of the audit log
LONG = 1.5  # seconds: pauses that are told of
COMPARE = 40  # changes from one comparison to the next
PATIENCE = 15  # seconds until an authority that says nothing is left

stop = threading.Event()
lock = threading.Lock()
acked_file = open(acked_path, "ab", buffering=0)
figures = {"acknowledged": 0, "refused": 0, "not done": 0, "unknown": 0, "unknown, done": 0,
           "stale": 0, "compared": 0, "longest pause": 0.0, "long pauses": [], "faults": []}
changes_made = set()  # IDs of what was acknowledged, as the audit log has them
refused_targets = set()
latencies = []


def count(what, n=1):
    with lock:
        figures[what] += n


def fault(*words):
    with lock:
        figures["faults"].append(" ".join(str(w) for w in words))


def context_of(directory):
    context = ssl.create_default_context(cafile=directory + "/ca.pem")
    context.load_cert_chain(directory + "/certificate.pem", directory + "/key.pem")
    return context


class Connection:
    """To one authority process at a time, kept open; to the next one when it breaks."""

    def __init__(self, directory, at):
        self.context, self.at = context_of(directory), at
        self.http, self.since, self.serial = None, None, 0
        self.tried = []  # since then

    def leave(self):
        if self.http:
            self.http.close()
        self.http = None
        self.at = (self.at + 1) % len(urls)

    def connect(self):
        while not self.http:
            u = urls[self.at]
            c = http.client.HTTPSConnection(u.hostname, u.port, context=self.context,
                                            timeout=PATIENCE)
            try:
                c.connect()
                self.http = c
                self.serial += 1
            except OSError:
                self.leave()
                if self.at == 0:
                    select.select([], [], [], 0.02)  # as any client would

    def answered(self):
        now = time.monotonic()
        with lock:
            figures["longest pause"] = max(figures["longest pause"], now - self.since)
            if now - self.since > LONG:
                figures["long pauses"].append([round(time.time() - now + self.since, 2),
                                               round(now - self.since, 2), *self.tried])
        latencies.append(now - self.since)
        self.since = None

    def ask(self, method, path, body=None):
        """Status and answer; None: unknown. Whatever can't have been sent is sent anew."""
        if self.since is None:
            self.since, self.tried = time.monotonic(), []
        self.connect()
        self.tried.append(f"{method} {path} at {urls[self.at].port}")
        try:
            self.http.request(method, path, json.dumps(body) if body is not None else None,
                              {"Content-Type": "application/json"})
            r = self.http.getresponse()
            status, answer = r.status, json.loads(r.read())
        except (OSError, http.client.HTTPException, ValueError) as e:
            self.tried.append(repr(e))
            self.leave()
            return None, None
        if status >= 500:
            self.tried.append(answer["detail"])
            self.leave()
            if "unknown" in answer["detail"]:
                return None, None
        else:
            self.answered()
        return status, answer

    def get(self, path):
        while True:
            status, answer = self.ask("GET", path)
            if status == 200:
                return answer
            if status and status < 500:
                fault("GET", path, status, answer)
                return None


class Client:
    def __init__(self, number):
        self.number, self.dice = number, random.Random(number)
        self.connection = Connection(identity, number % len(urls))
        self.hosts = [f"c{number}h{k}" for k in range(hosts)]
        self.state = {}  # name: members
        self.n, self.proved = 0, 0  # the connection by which the last change was acknowledged

    def name(self):
        self.n += 1
        return f"c{self.number}-{self.n}"

    def free(self):
        used = set().union(*self.state.values()) if self.state else set()
        return [h for h in self.hosts if h not in used]

    def pick(self):
        """A change that has to be taken: method, path, body, and what is there then."""
        state, dice = self.state, self.dice
        free, names = self.free(), sorted(state)
        with_hosts = [n for n in names if state[n]]
        verbs = ["create"]
        verbs += ["join"] * 3 if free and names else []
        verbs += ["leave"] * 2 if with_hosts else []
        verbs += ["merge"] if len(names) > 1 else []
        verbs += ["split"] if any(len(state[n]) > 1 for n in names) else []
        if len(names) > 6:
            verbs = ["merge", "shutdown"]
        verb = dice.choice(verbs)
        after = dict(state)
        if verb == "create":
            name = self.name()
            after[name] = set(dice.sample(free, dice.randint(0, min(3, len(free)))))
            return "POST", "/v1/vns", {"name": name, "hosts": sorted(after[name])}, after
        if verb == "join":
            name, more = dice.choice(names), set(dice.sample(free, dice.randint(1, min(2, len(free)))))
            after[name] = state[name] | more
            return "POST", f"/v1/vns/{name}/join", {"hosts": sorted(more)}, after
        if verb == "leave":
            name = dice.choice(with_hosts)
            less = {dice.choice(sorted(state[name]))}
            after[name] = state[name] - less
            return "POST", f"/v1/vns/{name}/leave", {"hosts": sorted(less)}, after
        if verb == "merge":
            both, name = dice.sample(names, 2), self.name()
            after[name] = after.pop(both[0]) | after.pop(both[1])
            return "POST", "/v1/merge", {"vns": both, "name": name}, after
        if verb == "split":
            old = dice.choice([n for n in names if len(state[n]) > 1])
            all_of, names = sorted(after.pop(old)), [self.name(), self.name()]
            at = dice.randint(1, len(all_of) - 1)
            groups = [all_of[:at], all_of[at:]]
            after.update({n: set(g) for n, g in zip(names, groups)})
            return "POST", f"/v1/vns/{old}/split", {
                "groups": [{"name": n, "hosts": g} for n, g in zip(names, groups)]}, after
        name = dice.choice(names)
        del after[name]
        return "DELETE", f"/v1/vns/{name}", None, after

    def pick_refused(self):
        """One that has to be refused, and what the audit log calls its target."""
        name, what = self.name(), self.dice.randrange(3)
        if what == 0:
            return "POST", f"/v1/vns/{name}/join", {"hosts": [self.hosts[0]]}, name
        if what == 1:
            return "POST", "/v1/vns", {"name": name, "hosts": ["nobody"]}, name
        return "POST", "/v1/merge", {"vns": [name, "stay"], "name": name + "m"}, [name, "stay"]

    def acknowledge(self, answer, after):
        with lock:
            figures["acknowledged"] += 1
            changes_made.add(answer["change"].split("-", 1)[1])
        acked_file.write(b".")
        self.state, self.proved = after, self.connection.serial

    def show(self):
        """Its VNs as the process says; None: not by the connection of the last change."""
        vns = self.connection.get("/v1/vns")["vns"]
        all_hosts = self.connection.get("/v1/hosts")["hosts"]
        if self.connection.serial != self.proved:
            return None
        mine = f"c{self.number}-"
        state = {v["name"]: set() for v in vns if v["name"].startswith(mine)}
        for h in all_hosts:
            for vn in h["vns"]:
                if vn in state:
                    state[vn].add(h["name"])
                elif h["name"] in self.hosts:
                    fault("host", h["name"], "is in", vn)
        for v in vns:
            if v["name"] in state and v["members"] != len(state[v["name"]]):
                fault("VN", v, "has members", state[v["name"]])
        return state

    def compare(self, others):
        """Makes a VN, and compares; `others` is what may be there in place of the state.
        Says which of them it was: 0, the state."""
        doubtful = []
        while True:
            name = self.name()
            status, answer = self.connection.ask("POST", "/v1/vns", {"name": name})
            if status == 200:
                before = dict(self.state)
                self.acknowledge(answer, before | {name: set()})
                others = [o | {name: set()} for o in others]
                there = self.show()
                if there is not None:
                    break
            elif status is None:
                doubtful.append(name)
                count("unknown")
            elif status >= 500:
                count("not done")
            else:
                fault("create", name, status, answer)
                return 0
        count("compared")
        done = {n: set() for n in doubtful if n in there}
        count("unknown, done", len(done))
        for i, expected in enumerate([self.state] + others):
            if there == expected | done:
                self.state = there
                return i
        fault("client", self.number, "has", there, "expected", self.state, "or", others, "and", done)
        self.state = there
        return 0

    def change(self):
        method, path, body, after = self.pick()
        status, answer = self.connection.ask(method, path, body)
        if status == 200:
            self.acknowledge(answer, after)
        elif status is None:
            count("unknown")
            count("unknown, done", self.compare([after]))
        elif status >= 500:
            count("not done")
            self.compare([])
        elif self.connection.serial != self.proved:
            count("stale")  # another process, which had not heard of the last change
            self.compare([])
        else:
            fault(method, path, body, "was refused:", status, answer)

    def be_refused(self, connection, target, method, path, body):
        status, answer = connection.ask(method, path, body)
        if status is None or status >= 500:
            connection.get("/v1/vns")  # with the next process
            return
        if status == 200:
            fault(method, path, body, "was taken")
            return
        count("refused")
        with lock:
            refused_targets.add(json.dumps(target, separators=(",", ":")))

    def run(self):
        other = Connection(stranger, self.number % len(urls))
        n = 0
        while not stop.is_set():
            self.change()
            n += 1
            if n % COMPARE == 0:
                self.compare([])
                self.connection.leave()
                self.connection.at = self.dice.randrange(len(urls))
            if n % 5 == 0:
                method, path, body, target = self.pick_refused()
                self.be_refused(self.connection, target, method, path, body)
            if n % 10 == 5:
                name = self.name()
                self.be_refused(other, name, "POST", "/v1/vns",
                                {"name": name, "hosts": [self.hosts[0]]})
        for at in range(len(urls)):
            self.connection.leave()
            self.connection.at = at
            self.compare([])

    def guarded(self):
        try:
            self.run()
        except Exception as e:  # pylint: disable=broad-except
            fault("client", self.number, "ended:", repr(e))


def audit(since):
    """Records of changes of VNs from then on."""
    connection, after, records = Connection(identity, 0), "%012x" % since, []
    while True:
        page = connection.get(f"/v1/audit?limit={PAGE}&after={after}")["audit"]
        records += page
        if len(page) < PAGE:  # reading it writes to it
            return [r for r in records if r["operation"].startswith("vn-")]
        after = page[-1]["id"]


def compare_audit(since):
    records = audit(since)
    allowed = [r["id"].split("-", 1)[1] for r in records if r["allowed"]]
    refused = {}
    for r in records:
        if not r["allowed"]:
            refused[r["target"]] = refused.get(r["target"], 0) + 1
        elif r["target"] in refused_targets:
            fault("refused, and yet in the audit log:", r)
    lost = changes_made - set(allowed)
    figures["lost"] = len(lost)
    if lost or len(allowed) != len(set(allowed)):
        fault("acknowledged, and not once in the audit log:", sorted(lost)[:10])
    done = figures["unknown, done"]
    if len(allowed) != len(changes_made) + done:
        fault("in the audit log", len(allowed), "changes; known of", len(changes_made), "and", done)
    for target in refused_targets:
        if refused.get(target) != 1:
            fault("refused: in the audit log", refused.get(target, 0), "times:", target)


def main():
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    since = int(time.time() * 1000)
    all_clients = [Client(i) for i in range(clients)]
    threads = [threading.Thread(target=c.guarded) for c in all_clients]
    for t in threads:
        t.start()
    stop.wait()
    for t in threads:
        t.join()
    compare_audit(since)
    latencies.sort()
    figures["longest pause"] = round(figures["longest pause"], 3)
    figures["median"] = round(latencies[len(latencies) // 2], 4)
    figures["p99"] = round(latencies[len(latencies) * 99 // 100], 4)
    print(json.dumps(figures))


main()
