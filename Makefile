# Builds, tests and installs ViNe. One file, no recursion but where a target has
# to begin anew (check and demo install packages first, and only then can
# pkg-config be asked).
#
#   make                 build/vine-router, build/vine-authority, build/vinectl and
#                        build/vine-tiny
#   make tiny            build/vine-tiny alone, static; tiny-aarch64: for the other kind of VM
#   make check           everything that is tested; as root, installs what it needs
#   make demo            three sites on this machine, as root
#   make demo-authority  the README's commands, with an authority, as root
#   make unit sim cost fuzz net style   one kind of test alone
#   make cost-update     what a packet costs now becomes the budget
#   make bench           against the tunnels that are installed, as root: PEERS, ROUNDS,
#                        SECONDS (of a test), OFFLOAD=on|off, OUT, REFERENCE
#   make bench-paper     what the ViNe dissertation measured; PARTS, and the same others
#   make figures         docs/performance.md and its charts, from docs/performance/*.jsonl
#   make bench-tables    the tables at size, alone and while they change
#   make bench-registry  the authority's registry and operations at size
#   make bench-authority the authority with simulated routers, as root: ROUTERS, OUT
#   make bench-tinies    one router with simulated tinies, as root: TINIES, OUT
#   make install         DESTDIR, PREFIX
#
#   SAN=1                with address and undefined-behaviour sanitizers, in build/san
#   BUILD=DIR            build somewhere else
#   V=1                  show the commands
#   MB=no                without libipsec-mb, which is used where it is installed
#   T="test_a sim_b"     only these tests (unit, sim, fuzz)

SAN ?=
ifneq ($(SAN),)
BUILD ?= build/san
else
BUILD ?= build
endif
PREFIX ?= /usr/local
FUZZ_SECONDS ?= 10
PROVE ?= prove
CLANG ?= clang
ROUNDS ?= 5
SECONDS ?= 5
OFFLOAD ?= on

hash := \#
comma := ,
OBJ := $(BUILD)/obj
FUZZ := $(BUILD)/fuzz
VERSION := $(file < VERSION)

# Asked once, and only by a target that compiles.
ask = $(eval $(1) := $$(shell pkg-config $(2)))$($(1))
PKG_ROUTER := libmnl libnftnl libnetfilter_queue libssl libcrypto inih liburcu-qsbr \
	jansson libseccomp libcares
PKG_CTL := jansson libssl libcrypto libcurl
PKG_AUTHORITY := sqlite3 libcurl jansson libssl libcrypto inih libevent_core libevent_extra \
	libevent_openssl
# libipsec-mb has no pkg-config file, and is for x86-64 only. MB=no: without it.
ifndef MB
MB := $(if $(shell printf '%s\n' '$(hash)include <intel-ipsec-mb.h>' \
	'$(hash)if !defined __x86_64__ || IMB_VERSION_NUM < IMB_VERSION(1, 3, 0)' \
	'$(hash)error' '$(hash)endif' | $(CC) -E -x c - > /dev/null 2>&1 && echo yes),yes,no)
endif
LIBS_MB = $(if $(filter yes,$(MB)),-lIPSec_MB)
PKG_CFLAGS = $(call ask,PKG_CFLAGS,--cflags $(PKG_ROUTER) $(PKG_AUTHORITY))
LIBS_ROUTER = $(call ask,LIBS_PKG,--libs $(PKG_ROUTER)) $(LIBS_MB)
LIBS_AUTHORITY = $(call ask,LIBS_AUTHORITY_PKG,--libs $(PKG_AUTHORITY))
LIBS_CTL = $(call ask,LIBS_CTL,--libs $(PKG_CTL))
LIBS_TEST = $(call ask,LIBS_CMOCKA,--libs cmocka $(PKG_ROUTER) $(PKG_AUTHORITY)) $(LIBS_MB)

WARNINGS := -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wvla -Werror
BASE := -std=gnu11 -D_GNU_SOURCE -DURCU_INLINE_SMALL_FUNCTIONS -DVINE_VERSION='"$(VERSION)"' -I. -pthread -g $(WARNINGS)
ifneq ($(SAN),)
CFLAGS ?= -O1 -fno-omit-frame-pointer
MODE := -fsanitize=address,undefined -fno-sanitize-recover=all
LDFLAGS_ALL = -pthread $(MODE) $(LDFLAGS)
else
CFLAGS ?= -O2
MODE := -fstack-protector-strong -D_FORTIFY_SOURCE=2 -fPIE
LDFLAGS_ALL = -pthread -pie -Wl,-z,relro,-z,now,-z,noexecstack $(LDFLAGS)
endif
CFLAGS_ALL = $(BASE) $(MODE) $(CFLAGS) $(PKG_CFLAGS)
LINK = $(CC) $(LDFLAGS_ALL) -Wl,--as-needed -o $@

FUZZ_FLAGS = $(BASE) $(PKG_CFLAGS) -O1 -fno-omit-frame-pointer -fno-sanitize-recover=all
FUZZ_MODE := address,undefined

WITH_MB := common/crypto_mb.c common/crypto_manager.c
COMMON := $(filter-out $(if $(filter yes,$(MB)),common/crypto_nomb.c,$(WITH_MB)),$(wildcard common/*.c))
ROUTER := $(wildcard router/*.c)
CTL := $(wildcard ctl/*.c)
AUTHORITY := $(wildcard authority/*.c)
ROUTER_LIB := $(filter-out router/main.c,$(ROUTER))
# libipsec-mb as vine-tiny takes it: parts that are known of one version of it
# (tiny/crypto_manager.c).
TINY_MB := $(if $(filter yes,$(MB)),$(shell printf '%s\n' '$(hash)include <intel-ipsec-mb.h>' \
	'$(hash)if IMB_VERSION_NUM != IMB_VERSION(1, 3, 0)' '$(hash)error' '$(hash)endif' | \
	$(CC) -E -x c - > /dev/null 2>&1 && ls $$($(CC) -print-file-name=libIPSec_MB.a) 2> /dev/null))
UNIT := $(filter-out $(if $(TINY_MB),,tests/unit/test_tiny_crypto.c),$(wildcard tests/unit/test_*.c))
SIM := $(wildcard tests/sim/sim_*.c)
SIM_LIB := $(filter-out $(SIM),$(wildcard tests/sim/*.c))
FUZZERS := $(wildcard tests/fuzz/fuzz_*.c)

objects = $(patsubst %.c,$(OBJ)/%.o,$(1))
fuzz_objects = $(patsubst %.c,$(FUZZ)/obj/%.o,$(1))
programs = $(patsubst tests/%.c,$(BUILD)/%,$(1))
# Those named by T, or all.
chosen = $(if $(T),$(foreach f,$(1),$(if $(filter $(T),$(basename $(notdir $(f)))),$(f))),$(1))
# Those that run or wait longest come first: then they don't keep all others waiting at the end.
LONG := %/test_store_crash %/test_store %/test_store_etcd %/test_store_sqlite %/sim_workers \
	%/sim_way %/test_authority_resume %/test_neighbours
long_first = $(foreach l,$(LONG),$(filter $(l),$(1))) $(filter-out $(LONG),$(1))
UNIT_BIN := $(call long_first,$(call programs,$(call chosen,$(UNIT))))
SIM_BIN := $(call long_first,$(call programs,$(call chosen,$(SIM))))
FUZZ_BIN := $(call programs,$(call chosen,$(FUZZERS)))

ifeq ($(V),)
Q := @
say = @printf '  %-5s %s\n' '$(1)' '$(patsubst $(BUILD)/%,%,$@)'
endif

.PHONY: all tiny tiny-aarch64 unit sim programs cost cost-update fuzz fuzz-build net net-build style format check demo \
	demo-authority bench-tinies bench bench-paper bench-tables bench-registry bench-authority figures \
	install uninstall clean FORCE
.DELETE_ON_ERROR:
.SECONDARY:

all: $(BUILD)/vine-router $(BUILD)/vine-authority $(BUILD)/vinectl $(BUILD)/vine-tiny

# Programs

$(BUILD)/vine-router: $(call objects,$(ROUTER)) $(BUILD)/libcommon.a
	$(call say,LINK)
	$(Q)$(LINK) $^ $(LIBS_ROUTER)

$(BUILD)/vine-authority: $(call objects,authority/main.c) $(BUILD)/libauthority.a \
	$(BUILD)/libcommon.a
	$(call say,LINK)
	$(Q)$(LINK) $^ $(LIBS_AUTHORITY)

$(BUILD)/vinectl: $(call objects,$(CTL)) $(BUILD)/libcommon.a
	$(call say,LINK)
	$(Q)$(LINK) $^ $(LIBS_CTL)

# vine-tiny: the router's data path and what leads to a peer, with a host's part of its own,
# as one static file. Sanitizers need shared libraries.
TINY_ROUTER := accept adjacency announce answer backlog change classify config_done \
	config_options config_show config_types connections contact dial direct first_hop fit \
	give_back given given_tables hold inbound inject_raw keepalive keying limited link_stream link_udp \
	liveness mailbox member netlink offload open outbound path pmtu probe proxy queue reach \
	relay resolve ring route router sandbox seal stream_tcp stream_tls streams tiny_watch tun tun_steer ways \
	ways_path worker workers world
TINY_COMMON := addr clock crypto crypto_frame crypto_openssl handshake image image_tiny inet \
	inet_check inet_cut inet_icmp ini ini_error ini_types key_file log loop lpm lpm_change \
	network notify packet session signals table table_conflicts table_new table_rows table_update \
	vector wire
TINY := $(filter-out tiny/crypto_manager.c,$(wildcard tiny/*.c)) $(TINY_ROUTER:%=router/%.c) \
	$(TINY_COMMON:%=common/%.c)
TINY_WITH_MB := common/crypto_mb.c tiny/crypto_manager.c
TINY_LIBS := -lssl -lcrypto -linih -lurcu-qsbr -lurcu-common -lcares
TINY_CFLAGS = $(BASE) $(CFLAGS) $(if $(SAN),$(MODE),-fstack-protector-strong -D_FORTIFY_SOURCE=2 \
	-ffunction-sections -fdata-sections -fno-asynchronous-unwind-tables)
TINY_LDFLAGS = -pthread $(LDFLAGS) $(if $(SAN),$(MODE),-static -s -Wl$(comma)--gc-sections \
	-Wl$(comma)-z$(comma)relro$(comma)-z$(comma)noexecstack$(comma)-z$(comma)noseparate-code \
	-Wl$(comma)-T$(comma)tiny/static.ld)

# tiny_rules PROGRAM,COMPILER,SOURCES,LIBRARIES. A static program can't use getaddrinfo and its like, of which the
# linker warns; the one caller, in libraries, is never called.
define tiny_rules
$(BUILD)/$(1).obj/%.o: %.c $(BUILD)/$(1).obj/flags
	@$(if $(Q),printf '  %-5s %s\n' TINY '$(1): $$<')
	$(Q)mkdir -p $$(@D)
	$(Q)$(2) $$(TINY_CFLAGS) -MMD -MP -c -o $$@ $$<
$(BUILD)/$(1).obj/flags: FORCE
	$$(call remember,$(2) $$(TINY_CFLAGS))
$(BUILD)/$(1): $(patsubst %.c,$(BUILD)/$(1).obj/%.o,$(TINY) $(3)) tiny/static.ld
	$$(call say,LINK)
	$(Q)$(2) $$(TINY_LDFLAGS) -o $$@ $$(filter %.o,$$^) $(4) $(TINY_LIBS) 2> $$@.log || { cat $$@.log; exit 1; }
endef
$(eval $(call tiny_rules,vine-tiny,$(CC),$(if $(TINY_MB),$(TINY_WITH_MB),common/crypto_nomb.c),$(TINY_MB)))
$(eval $(call tiny_rules,vine-tiny-aarch64,aarch64-linux-gnu-gcc,common/crypto_nomb.c,))

tiny: $(BUILD)/vine-tiny
tiny-aarch64: $(BUILD)/vine-tiny-aarch64

$(BUILD)/libcommon.a: $(call objects,$(COMMON))
$(BUILD)/libauthority.a: $(call objects,$(filter-out authority/main.c,$(AUTHORITY)))
$(BUILD)/librouter.a: $(call objects,$(ROUTER_LIB))
$(BUILD)/libsim.a: $(call objects,$(SIM_LIB))
$(FUZZ)/libcommon.a: $(call fuzz_objects,$(COMMON))
$(FUZZ)/librouter.a: $(call fuzz_objects,$(ROUTER_LIB))
$(FUZZ)/libtiny.a: $(call fuzz_objects,$(addprefix tiny/,config.c servers.c mnl.c))
$(FUZZ)/libauthority.a: $(call fuzz_objects,$(filter-out authority/main.c,$(AUTHORITY)))
%.a:
	$(call say,AR)
	$(Q)rm -f $@ && ar rcs $@ $^

$(OBJ)/%.o: %.c $(OBJ)/flags
	$(call say,CC)
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(CFLAGS_ALL) -MMD -MP -c -o $@ $<

# It has the script in it.
$(OBJ)/authority/download_script.o $(FUZZ)/obj/authority/download_script.o: authority/bootstrap.sh

$(FUZZ)/obj/%.o: %.c $(FUZZ)/obj/flags
	$(call say,FUZZ)
	$(Q)mkdir -p $(@D)
	$(Q)$(CLANG) $(FUZZ_FLAGS) -fsanitize=fuzzer-no-link,$(FUZZ_MODE) -MMD -MP -c -o $@ $<

# The command that the objects were made with: another one makes them anew.
remember = @mkdir -p $(@D); echo '$(subst ','\'',$(1))' | cmp -s - $@ || echo '$(subst ','\'',$(1))' > $@
$(OBJ)/flags: FORCE
	$(call remember,$(CC) $(CFLAGS_ALL) MB=$(MB))
$(FUZZ)/obj/flags: FORCE
	$(call remember,$(CLANG) $(FUZZ_FLAGS) $(FUZZ_MODE) MB=$(MB))

# Tests. A unit test is linked with the modules that its comment
# "/* links: common/addr router/ring */" names, and with nothing else. One about
# a whole router names the libraries: librouter libcommon.

links = $(shell awk '/links:/ { on = 1; sub(/.*links:/, "") } \
	on { end = /\*\//; sub(/\*\/.*/, ""); sub(/^ *\*/, ""); print; if (end) exit }' $(1))
define unit_rule
$(call programs,$(1)): $(call objects,$(1) $(addsuffix .c,$(filter-out lib%,$(2)))) \
	$(patsubst %,$(BUILD)/%.a,$(filter lib%,$(2)))
endef
ifneq ($(filter unit programs $(BUILD)/unit/%,$(MAKECMDGOALS)),)
$(foreach t,$(UNIT),$(eval $(call unit_rule,$(t),$(call links,$(t)))))
endif

$(BUILD)/unit/test_tiny_crypto: LIBS_MB = $(TINY_MB)
$(BUILD)/unit/%:
	$(call say,LINK)
	$(Q)mkdir -p $(@D)
	$(Q)$(LINK) $^ $(LIBS_TEST)

$(BUILD)/sim/%: $(OBJ)/tests/sim/%.o $(BUILD)/libsim.a $(BUILD)/librouter.a $(BUILD)/libcommon.a
	$(call say,LINK)
	$(Q)mkdir -p $(@D)
	$(Q)$(LINK) -Wl,--start-group $^ -Wl,--end-group $(LIBS_TEST)

$(BUILD)/fuzz/fuzz_tiny: $(FUZZ)/libtiny.a
$(BUILD)/fuzz/fuzz_%: $(FUZZ)/obj/tests/fuzz/fuzz_%.o $(FUZZ)/librouter.a $(FUZZ)/libauthority.a \
	$(FUZZ)/libcommon.a
	$(call say,LINK)
	$(Q)$(CLANG) -pthread -fsanitize=fuzzer,$(FUZZ_MODE) -Wl,--as-needed -o $@ \
		-Wl,--start-group $^ -Wl,--end-group $(LIBS_ROUTER) $(LIBS_AUTHORITY)

# What the hosts of tests/net run.
$(BUILD)/net/load: $(call objects,$(wildcard tests/net/*.c))
	$(call say,LINK)
	$(Q)mkdir -p $(@D)
	$(Q)$(LINK) $^ $(LIBS_CTL)

# The router's work apart from what it calls: see tests/cost/stubs.c.
WRAPPED := memcpy memmove memset memcmp __memcpy_chk __memmove_chk __memset_chk \
	crypto_mb_new crypto_seal crypto_open
COST := $(wildcard tests/cost/*.c)
$(BUILD)/cost/cost: $(call objects,$(COST)) $(BUILD)/libsim.a $(BUILD)/librouter.a \
	$(BUILD)/libcommon.a
	$(call say,LINK)
	$(Q)mkdir -p $(@D)
	$(Q)$(LINK) $(addprefix -Wl$(comma)--wrap=,$(WRAPPED)) -Wl,--start-group $^ \
		-Wl,--end-group $(LIBS_TEST)

unit: $(UNIT_BIN)
	$(Q)$(PROVE) -j2 -e scripts/tap-run $^

sim: $(SIM_BIN)
	$(Q)$(PROVE) -j2 -e scripts/tap-run $^

# Both built, and named in a file: make check runs those of two builds side by side.
programs: $(UNIT_BIN) $(SIM_BIN)
	$(Q)printf '%s\n' $(call long_first,$^) > $(BUILD)/programs

fuzz-build: $(FUZZ_BIN)
fuzz: $(FUZZ_BIN)
	$(Q)scripts/fuzz $(FUZZ_SECONDS) $(FUZZ) $^

cost: $(BUILD)/cost/cost
	$(Q)BUILD=$(BUILD) CC='$(CC)' scripts/tap-run tests/cost/run

# Writes what it costs now into tests/cost/budget.
cost-update: $(BUILD)/cost/cost
	$(Q)BUILD=$(BUILD) CC='$(CC)' tests/cost/run --update

net-build: all $(BUILD)/net/load $(BUILD)/bench/flood $(BUILD)/bench/impair $(BUILD)/bench/authority
net: net-build
	$(Q)BUILD=$(BUILD) tests/net/run

style:
	$(Q)scripts/style

# Makes the sources what style wants of their layout.
format:
	$(Q)clang-format -i $(wildcard */*.[ch] tests/*/*.[ch])

check:
	+$(Q)MAKE='$(MAKE)' BUILD='$(BUILD)' FUZZ_SECONDS='$(FUZZ_SECONDS)' scripts/check

demo:
	$(Q)scripts/deps
	+$(Q)$(MAKE) --no-print-directory all
	$(Q)BUILD=$(BUILD) scripts/demo

demo-authority:
	$(Q)scripts/deps
	+$(Q)$(MAKE) --no-print-directory all
	$(Q)BUILD=$(BUILD) scripts/demo-authority

$(BUILD)/bench/%: $(OBJ)/tests/bench/%.o
	$(call say,LINK)
	$(Q)mkdir -p $(@D)
	$(Q)$(LINK) $^

export WIREGUARD_GO
run_bench = BUILD=$(BUILD) tests/bench/run --rounds $(ROUNDS) --seconds $(SECONDS) \
	--offload $(OFFLOAD) $(if $(OUT),--out $(OUT)) $(if $(REFERENCE),--reference $(REFERENCE))

bench: all $(BUILD)/bench/flood $(BUILD)/bench/impair
	$(Q)$(run_bench) $(PEERS)

bench-paper: all $(BUILD)/bench/flood $(BUILD)/bench/impair
	$(Q)$(run_bench) --paper $(PARTS)

figures:
	$(Q)for f in $(wildcard docs/performance/*.jsonl); do \
		tests/bench/chart $(if $(REFERENCE),--reference $(REFERENCE)) docs/performance $$f && \
		tests/bench/report --ratios $(if $(REFERENCE),--reference $(REFERENCE)) \
			--into docs/performance.md $$f || exit; \
	done

$(BUILD)/bench/tables: $(OBJ)/tests/bench/tables.o $(BUILD)/libcommon.a
	$(call say,LINK)
	$(Q)mkdir -p $(@D)
	$(Q)$(LINK) $^ $(LIBS_ROUTER)

bench-tables: $(BUILD)/bench/tables
	$(Q)$<

$(BUILD)/bench/registry: $(call objects,tests/bench/registry.c tests/bench/world.c) \
	$(BUILD)/libauthority.a $(BUILD)/libcommon.a
	$(call say,LINK)
	$(Q)mkdir -p $(@D)
	$(Q)$(LINK) $^ $(LIBS_AUTHORITY)

bench-registry: $(BUILD)/bench/registry
	$(Q)$<

$(BUILD)/bench/authority: $(call objects,$(addprefix tests/bench/,authority.c client.c routers.c world.c)) \
	$(BUILD)/libauthority.a $(BUILD)/libcommon.a
	$(call say,LINK)
	$(Q)mkdir -p $(@D)
	$(Q)$(LINK) $^ $(LIBS_AUTHORITY)

bench-authority: $(BUILD)/bench/authority $(BUILD)/vine-authority
	$(Q)out=$(or $(OUT),$(BUILD)/bench/authority.jsonl); : > $$out; \
	for n in $(or $(ROUTERS),100 1000 10000); do \
		$< $(BUILD)/vine-authority $$n >> $$out || exit; \
	done; tests/bench/report $$out

$(BUILD)/bench/tinies: $(call objects,$(addprefix tests/bench/,tinies.c tinies_twins.c) \
	tiny/tiny.c tiny/config.c) $(BUILD)/librouter.a $(BUILD)/libcommon.a
	$(call say,LINK)
	$(Q)mkdir -p $(@D)
	$(Q)$(LINK) $(addprefix -Wl$(comma)--wrap=,pool_new pool_free crypto_new crypto_free link_udp_open) $^ \
		$(LIBS_ROUTER)

bench-tinies: all $(BUILD)/bench/tinies
	$(Q)out=$(or $(OUT),$(BUILD)/bench/tinies.jsonl); : > $$out; \
	for n in $(or $(TINIES),2000 5000); do \
		BUILD=$(BUILD) tests/bench/tinies.sh $$n $$out || exit; \
	done; tests/bench/report $$out

# Installing

BINDIR := $(DESTDIR)$(PREFIX)/bin
SBINDIR := $(DESTDIR)$(PREFIX)/sbin
MANDIR := $(DESTDIR)$(PREFIX)/share/man
DOCDIR := $(DESTDIR)$(PREFIX)/share/doc/vine
# What the download server gives to VMs.
LIBDIR := $(DESTDIR)$(PREFIX)/lib/vine
MACHINE = $(shell $(CC) -dumpmachine | sed 's/-.*//')
UNITDIR := $(DESTDIR)$(PREFIX)/lib/systemd/system
MAN := $(wildcard docs/man/*.[158])
UNITS := $(wildcard conf/*.service)
SAMPLES := $(filter-out $(UNITS),$(wildcard conf/*))
man_file = $(MANDIR)/man$(subst .,,$(suffix $(1)))/$(notdir $(1))

install: all
	install -D -m 755 $(BUILD)/vine-router $(SBINDIR)/vine-router
	install -D -m 755 $(BUILD)/vine-authority $(SBINDIR)/vine-authority
	install -D -m 755 $(BUILD)/vinectl $(BINDIR)/vinectl
	install -D -m 755 $(BUILD)/vine-tiny $(SBINDIR)/vine-tiny
	install -D -m 755 $(BUILD)/vine-tiny $(LIBDIR)/vine-tiny-$(MACHINE)
	[ ! -e $(BUILD)/vine-tiny-aarch64 ] || \
		install -D -m 755 $(BUILD)/vine-tiny-aarch64 $(LIBDIR)/vine-tiny-aarch64
	install -D -m 755 scripts/vine-host $(BINDIR)/vine-host
	$(foreach m,$(MAN),install -D -m 644 $(m) $(call man_file,$(m)) &&) true
	install -d $(UNITDIR)
	$(foreach u,$(UNITS),sed -E 's|/usr/(local/)?(s?bin/vine)|$(PREFIX)/\2|g' $(u) \
		> $(UNITDIR)/$(notdir $(u)) && chmod 644 $(UNITDIR)/$(notdir $(u)) &&) true
	install -d $(DOCDIR)
	$(if $(SAMPLES),install -m 644 $(SAMPLES) $(DOCDIR)/)

# Out again, with directories that are empty then; not those that any system has.
DIRS := $(DOCDIR) $(DESTDIR)$(PREFIX)/share/doc $(addprefix $(MANDIR)/man,1 5 8) $(LIBDIR) $(UNITDIR) \
	$(DESTDIR)$(PREFIX)/lib/systemd
ifneq ($(DESTDIR)$(filter-out /usr /usr/local,$(PREFIX)),)
DIRS += $(SBINDIR) $(BINDIR) $(MANDIR) $(addprefix $(DESTDIR)$(PREFIX),/share /lib /)
endif

uninstall:
	rm -f $(SBINDIR)/vine-router $(SBINDIR)/vine-authority $(SBINDIR)/vine-tiny $(BINDIR)/vinectl $(BINDIR)/vine-host
	rm -f $(LIBDIR)/vine-tiny-x86_64 $(LIBDIR)/vine-tiny-aarch64
	rm -f $(foreach m,$(MAN),$(call man_file,$(m)))
	rm -f $(addprefix $(UNITDIR)/,$(notdir $(UNITS)))
	rm -f $(addprefix $(DOCDIR)/,$(notdir $(SAMPLES)))
	for d in $(DIRS); do \
		[ ! -d "$$d" ] || rmdir --ignore-fail-on-non-empty "$$d" || exit; \
	done

clean:
	rm -rf $(BUILD)

-include $(shell find $(BUILD) -type f -name '*.d' 2>/dev/null)
