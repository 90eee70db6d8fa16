"""What the report and the chart share: the bench's JSON lines and the maths on them.

A line is one case (a peer, with settings) of one part in one round. Figures are compared
within a round only, since the machine's own speed changes between them: a ratio is the
median of the rounds' ratios, its spread their least and greatest. A round in which one of
the two has no figure counts for neither.
"""

import json

OVERHEAD = 68  # bytes around a packet, over IPv4: IP 20, UDP 8, header 24, MAC or tag 16


class Runs:
    """All lines of a file; the last one where a case was measured twice in a round."""

    def __init__(self, lines):
        self.records = {}  # (part, case) -> {round: record}
        for number, line in enumerate(lines, 1):
            if not line.strip():
                continue
            try:
                record = json.loads(line)
                key = (record["part"], record["case"])
                self.records.setdefault(key, {})[record["round"]] = record
            except (ValueError, KeyError, TypeError) as e:
                raise SystemExit(f"line {number} is none of the bench's: {e}") from e

    def parts(self):
        return {part for part, case in self.records}

    def cases(self, part):
        """By name, so that nothing depends on the order of the lines."""
        return sorted(case for p, case in self.records if p == part)

    def of(self, part, case):
        rounds = self.records.get((part, case), {})
        return [rounds[n] for n in sorted(rounds)]

    def kind(self, part, case):
        kinds = [r["kind"] for r in self.of(part, case) if r.get("kind")]
        return kinds[0] if kinds else ""

    def values(self, part, case, figure):
        return {r["round"]: r["figures"][figure] for r in self.of(part, case)
                if r["figures"].get(figure) is not None}

    def median(self, part, case, figure):
        return median(self.values(part, case, figure).values())

    def ratio(self, part, case, reference, figure, reference_figure=None):
        """A Ratio of the case to the reference, or None."""
        ours = self.values(part, case, figure)
        theirs = self.values(part, reference, reference_figure or figure)
        pairs = [ours[n] / theirs[n] for n in ours if theirs.get(n)]
        return Ratio(pairs, len(self.of(part, case))) if pairs else None

    def failures(self):
        """(part, case, round, what, why) of all that failed."""
        for (part, case), rounds in sorted(self.records.items()):
            for n, record in sorted(rounds.items()):
                for what, why in sorted(record["failed"].items()):
                    yield part, case, n, what, why


    def difference(self, part, case, reference, figure):
        """Like ratio, what the case has more."""
        ours = self.values(part, case, figure)
        theirs = self.values(part, reference, figure)
        pairs = [ours[n] - theirs[n] for n in ours if n in theirs]
        return Ratio(pairs, len(self.of(part, case))) if pairs else None


class Ratio:
    """The median of what the rounds' pairs come to, and their spread."""

    def __init__(self, pairs, rounds):
        self.median = median(pairs)
        self.least, self.greatest = min(pairs), max(pairs)
        self.n, self.rounds = len(pairs), rounds  # pairs of so many rounds

    def __str__(self):
        return short(self.median) + (f" ({self.n}/{self.rounds})" if self.n < self.rounds else "")

    def spread(self, digits=2):
        return f"{short(self.least, digits)} to {short(self.greatest, digits)}"


def median(values):
    """Of any number of values; None of none."""
    v = sorted(values)
    if not v:
        return None
    middle = len(v) // 2
    return v[middle] if len(v) % 2 else (v[middle - 1] + v[middle]) / 2


def short(value, digits=2):
    """So many digits that mean something, at least those before the point."""
    if value is None:
        return "-"
    if value == 0:
        return "0"
    text = f"{value:.{digits}g}"
    if "e" not in text:
        return text
    return f"{value:.0f}" if abs(value) >= 1 else f"{value:.{digits}f}"


def reference_of(runs, asked=None, part="peers"):
    """What the ratios of the part are to: the fastest program but ours, by TCP."""
    cases = runs.cases(part)
    if asked:
        if asked not in cases:
            raise SystemExit(f"{asked} was not measured; there are: {', '.join(cases)}")
        return asked
    def speed(case):
        return runs.median(part, case, "tcp1_mbps") or 0
    users = [c for c in cases if runs.kind(part, c) == "user" and speed(c)]
    for choice in (users, [c for c in cases if c == "forward"], cases):
        if choice:
            return max(choice, key=speed)
    return None


def in_order(runs, part):
    """Ours first, then programs, the kernel, no tunnel; the faster of a kind before."""
    kinds = ["vine", "user", "kernel", "none", ""]
    return sorted(runs.cases(part), key=lambda c: (
        kinds.index(runs.kind(part, c)), -(runs.median(part, c, "tcp1_mbps") or 0), c))


def line_share(overhead, transport, packet=1500):
    """The share of an Ethernet line that hosts can have: the dissertation's equation 4-1.
    transport: bytes of its header, with IP's 20. 38: what Ethernet itself takes."""
    return (packet - transport - overhead) / (packet + 38)
