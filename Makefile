# Weir: build, tests, tools. `make help` lists the targets.
# Sources are found by folder; the layers and what each may include stand in scripts/lint.

BUILD   ?= build
CXX     ?= g++
CLANGXX ?= clang++
PYTHON  ?= /usr/bin/python3
WERROR  ?= -Werror

VERSION := $(shell cat packaging/VERSION)

WARN := -Wall -Wextra -Wpedantic -Wconversion -Wsign-conversion -Wshadow -Wnon-virtual-dtor \
        -Wold-style-cast -Wnull-dereference -Wswitch-enum $(WERROR)
HARDEN := -D_FORTIFY_SOURCE=2 -fstack-protector-strong -D_GLIBCXX_ASSERTIONS -fPIE
OPT  ?= -O2 -g
STD  := -std=c++20 -I. -pthread
ALL_CXXFLAGS = $(STD) $(OPT) $(WARN) $(HARDEN) $(SANITIZE) $(CPPFLAGS) $(CXXFLAGS)
ALL_LDFLAGS  = -pie -Wl,-z,relro,-z,now -pthread $(SANITIZE) $(LDFLAGS)
LIBS_EVENT := -levent -lcares -lcjson -lssl -lcrypto -lcrypt

# Names of what is made instead of command lines; V=1 shows those, -s neither.
VERBOSE := $(filter 1,$(V))
Q := $(if $(VERBOSE),,@)
say = $(if $(VERBOSE)$(findstring s,$(firstword -$(MAKEFLAGS))),,@echo '$(1) $(or $(2),$@)')

# One archive a layer, linked in the order of the include rules: a layer may use those after it.
layer = $(patsubst %.cc,$(BUILD)/%.o,$(foreach dir,$(1),$(wildcard $(dir)/*.cc $(dir)/*/*.cc)))
BASE_OBJS   := $(call layer,common/base)
PROTO_OBJS  := $(call layer,common/proto)
ROUTE_OBJS  := $(call layer,common/route)
NET_OBJS    := $(call layer,common/net)
CONFIG_OBJS := $(call layer,common/config)
IPC_OBJS    := $(call layer,ipc)
MAIN_OBJ    := $(BUILD)/supervisor/main.o
SUPERVISOR_OBJS := $(filter-out $(MAIN_OBJ),$(call layer,supervisor))
WORKER_OBJS := $(call layer,workers)
# The pure halves of the workers: protocol state machines without I/O.
SESSION_OBJS := $(patsubst %.cc,$(BUILD)/%.o,$(wildcard workers/*/*_session.cc))
WEIR_OBJS := $(MAIN_OBJ) $(SUPERVISOR_OBJS) $(WORKER_OBJS) $(IPC_OBJS) $(CONFIG_OBJS) $(NET_OBJS) \
             $(ROUTE_OBJS) $(PROTO_OBJS) $(BASE_OBJS)

.PHONY: all
all: $(BUILD)/weir  ## build/weir, the release binary (default)

$(BUILD)/weir: $(WEIR_OBJS)
	$(call say,LD )
	$(Q)$(CXX) $(ALL_LDFLAGS) -o $@ $^ $(LIBS_EVENT)

# PCH=1: what nearly every file includes is compiled once, which halves the time of a first build (the demo's).
# Not for ccache, and not for us: a file that forgets an include builds all the same.
STD_HEADERS := algorithm array atomic bit cerrno charconv cstddef cstdint cstdio cstdlib cstring deque \
               functional map memory optional set span string string_view unordered_map utility vector
ifdef PCH
$(BUILD)/std.h.gch:
	@mkdir -p $(@D)
	@printf '#include <%s>\n' $(STD_HEADERS) > $(BUILD)/std.h
	$(call say,CXX,standard headers)
	$(Q)$(CXX) $(ALL_CXXFLAGS) -x c++-header -o $@ $(BUILD)/std.h
$(WEIR_OBJS): $(BUILD)/std.h.gch
$(WEIR_OBJS): CPPFLAGS += -include $(BUILD)/std.h
endif

# Objects depend on the command that makes them, not on this file: the stamp changes when it does.
COMPILE = $(CXX) $(ALL_CXXFLAGS) -MMD -MP -c
$(BUILD)/compile.stamp: FORCE
	@mkdir -p $(@D)
	@echo '$(subst ','\'',$(COMPILE))' | cmp -s - $@ || echo '$(subst ','\'',$(COMPILE))' > $@
.PHONY: FORCE
FORCE:
$(BUILD)/%.o: %.cc $(BUILD)/compile.stamp
	@mkdir -p $(@D)
	$(call say,CXX,$<)
	$(Q)$(COMPILE) -o $@ $<
# The version is in one object.
$(BUILD)/common/base/version.o: CPPFLAGS += -DWEIR_VERSION='"$(VERSION)"'
$(BUILD)/common/base/version.o: $(BUILD)/version.stamp
$(BUILD)/version.stamp: FORCE
	@mkdir -p $(@D)
	@echo '$(VERSION)' | cmp -s - $@ || echo '$(VERSION)' > $@

# Unit tests: t/00unit/<layer>_<what>_test.cc, one doctest binary a layer, linked only with what the
# layer may use. That pure layers link without libevent and OpenSSL is itself a test.
UNIT_LAYERS := base proto route session config net ipc supervisor workers
DEPS_base    := $(BASE_OBJS)
DEPS_proto   := $(PROTO_OBJS) $(BASE_OBJS)
DEPS_route   := $(ROUTE_OBJS) $(PROTO_OBJS) $(BASE_OBJS)
DEPS_session := $(SESSION_OBJS) $(ROUTE_OBJS) $(PROTO_OBJS) $(BASE_OBJS)
DEPS_config  := $(CONFIG_OBJS) $(BASE_OBJS)
DEPS_net     := $(NET_OBJS) $(PROTO_OBJS) $(BASE_OBJS)
DEPS_ipc     := $(IPC_OBJS) $(ROUTE_OBJS) $(PROTO_OBJS) $(BASE_OBJS)
DEPS_supervisor := $(SUPERVISOR_OBJS) $(WORKER_OBJS) $(IPC_OBJS) $(CONFIG_OBJS) $(NET_OBJS) $(ROUTE_OBJS) $(PROTO_OBJS) $(BASE_OBJS)
DEPS_workers := $(DEPS_supervisor)
LIBS_net     := $(LIBS_EVENT)
LIBS_supervisor := $(LIBS_EVENT)
LIBS_workers := $(LIBS_supervisor)
# Tests are compiled once and run once: optimizing them costs most of a build and gains nothing, also where
# the command line asks for it (asan, coverage).
TEST_OPT := -O0 -g1
$(BUILD)/t/00unit/%.o: override OPT = $(TEST_OPT)
$(BUILD)/t/00unit/%.o: HARDEN = -D_GLIBCXX_ASSERTIONS -fPIE
unit_objs = $(patsubst %.cc,$(BUILD)/%.o,$(wildcard t/00unit/$(1)_*_test.cc))
UNIT_BINS :=
define UNIT_RULE
ifneq ($(call unit_objs,$(1)),)
UNIT_BINS += $(BUILD)/t/unit_$(1)
$(BUILD)/t/unit_$(1): $(BUILD)/t/00unit/doctest_main.o $(call unit_objs,$(1)) $(DEPS_$(1))
	$$(call say,LD )
	$(Q)$(CXX) $(ALL_LDFLAGS) -o $$@ $$^ $(LIBS_$(1))
endif
endef
$(foreach l,$(UNIT_LAYERS),$(eval $(call UNIT_RULE,$(l))))

.PHONY: unit
unit: $(UNIT_BINS)  ## build the unit tests and run them
	@set -e; for t in $(UNIT_BINS); do echo "== $$t"; $$t; done

# Tools of the tests and benchmarks: each t/support/*.cc and t/90bench/*.cc is a program.
TOOL_BINS := $(patsubst %.cc,$(BUILD)/%,$(wildcard t/support/*.cc))
BENCH_BINS := $(patsubst %.cc,$(BUILD)/%,$(wildcard t/90bench/*.cc))
TOOL_DEPS := $(IPC_OBJS) $(NET_OBJS) $(ROUTE_OBJS) $(PROTO_OBJS) $(BASE_OBJS)
$(TOOL_BINS): $(BUILD)/%: $(BUILD)/%.o $(TOOL_DEPS)
	$(call say,LD )
	$(Q)$(CXX) $(ALL_LDFLAGS) -o $@ $^ $(LIBS_EVENT)
$(BENCH_BINS): $(BUILD)/%: $(BUILD)/%.o $(TOOL_DEPS)
	$(call say,LD )
	$(Q)$(CXX) $(ALL_LDFLAGS) -o $@ $^ $(LIBS_EVENT) -lbenchmark

.PHONY: tools
tools: $(TOOL_BINS)  ## build the test tools (torture of shared memory)

# Packages of npm for the tests, at the versions of the lock file, which names no registry.
NPM_SECONDS ?= 300
.PHONY: node-modules
node-modules: $(BUILD)/node/.installed  ## install what the tests take from npm
$(BUILD)/node/.installed: t/support/node/package.json t/support/node/package-lock.json
	@mkdir -p $(@D)
	cp $^ $(@D)
	@cd $(@D) && { timeout -k 10 $(NPM_SECONDS) npm ci --ignore-scripts --no-audit --no-fund --omit=dev --legacy-peer-deps; \
	  status=$$?; case $$status in 124|137) \
	  echo "npm ci did not end within $(NPM_SECONDS) s: is the registry there? NPM_SECONDS=N waits longer" >&2;; esac; \
	  exit $$status; }
	touch $@

.PHONY: check
check: test-bins node-modules  ## the whole test suite
	$(PYTHON) t/support/run_all.py --build $(BUILD)
.PHONY: unit-bins test-bins
unit-bins: $(UNIT_BINS)
test-bins: all unit-bins tools $(addprefix $(BUILD)/t/90bench/,rtmp_load http_load)

.PHONY: bench
bench: all $(BENCH_BINS) tools  ## side-by-side benchmarks against HAProxy and nginx
	$(PYTHON) t/90bench/bench.py --build $(BUILD)
	$(PYTHON) t/90bench/udp_bench.py --build $(BUILD)
	$(PYTHON) t/90bench/srt_bench.py --build $(BUILD)

.PHONY: asan asan-build
ASAN = BUILD=build/asan CXX="$(CLANGXX)" WARN= OPT="-O1 -g1 -fno-omit-frame-pointer" \
  HARDEN="-D_GLIBCXX_ASSERTIONS -fPIE" \
  SANITIZE="-fsanitize=address,undefined -fno-sanitize-recover=undefined"
asan: asan-build  ## the unit tests and the binary under ASan and UBSan (build/asan; WEIR_BUILD=build/asan runs suites with it)
	$(MAKE) $(ASAN) unit
asan-build:
	$(MAKE) $(ASAN) all tools $(addprefix build/asan/t/90bench/,rtmp_load http_load)

.PHONY: coverage
coverage: node-modules  ## line coverage by folder, of unit tests and suites (build/coverage)
	scripts/coverage

# Fuzz targets: t/fuzz/<name>_fuzz.cc with the corpus t/fuzz/corpus/<name>/.
FUZZ_BINS := $(patsubst t/fuzz/%_fuzz.cc,build/fuzz/%,$(wildcard t/fuzz/*_fuzz.cc))
FUZZ_SRCS := $(wildcard common/base/*.cc common/proto/*/*.cc common/proto/*.cc common/route/*.cc common/config/*.cc workers/*/*_session.cc)
FUZZ_OBJS := $(patsubst %.cc,build/fuzz/obj/%.o,$(FUZZ_SRCS))
FUZZ_FLAGS := $(STD) -O1 -g1 -fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=undefined
build/fuzz/obj/common/base/version.o: FUZZ_FLAGS += -DWEIR_VERSION='"$(VERSION)"'
build/fuzz/obj/%.o: %.cc
	@mkdir -p $(@D)
	$(call say,CXX,$<)
	$(Q)$(CLANGXX) $(FUZZ_FLAGS) -MMD -MP -c -o $@ $<
build/fuzz/%: build/fuzz/obj/t/fuzz/%_fuzz.o $(FUZZ_OBJS)
	$(call say,LD )
	$(Q)$(CLANGXX) $(FUZZ_FLAGS) -fsanitize=fuzzer -o $@ $^ $(FUZZ_LIBS)
# The one target with a library: cJSON under the registration parser.
build/fuzz/registration: $(patsubst %,build/fuzz/obj/workers/control/%.o,registration json text)
build/fuzz/registration: FUZZ_LIBS := -lcjson
build/fuzz/flow_file: $(patsubst %,build/fuzz/obj/ipc/%.o,flow_file flow_reader flow_table kept_file mapping)
build/fuzz/saved_state: $(patsubst %,build/fuzz/obj/ipc/%.o,boot_id counter_pages counters mapping route_reader saved_state shm_layout state_writer table_memory)
.PRECIOUS: build/fuzz/obj/%.o build/fuzz/obj/t/fuzz/%_fuzz.o
FUZZ_SECONDS ?= 6
.PHONY: fuzz fuzz-smoke
fuzz: $(FUZZ_BINS)  ## build the fuzz targets
fuzz-smoke: fuzz  ## run each fuzz target for FUZZ_SECONDS (6) on its corpus
	scripts/fuzz $(FUZZ_SECONDS) $(FUZZ_BINS)

.PHONY: lint format
lint:  ## dependency rules, formatting, options and metrics against docs, clang-tidy
	scripts/lint
format:  ## clang-format on every source
	scripts/format

.PHONY: docs
docs: all  ## regenerate docs/OPTIONS.md and conf/weir.conf from the option table
	$(BUILD)/weir --print-options-md > docs/OPTIONS.md
	$(BUILD)/weir --print-options-conf > conf/weir.conf

.PHONY: compdb
compdb: compile_commands.json  ## compile_commands.json for editors and clang-tidy
compile_commands.json: Makefile
	$(MAKE) -B -n --no-print-directory all unit-bins tools | $(PYTHON) scripts/compdb > $@

include packaging/packaging.mk

# The image: its root is laid out without running anything of it, so IMAGE_ARCH=arm64 works with a cross build
# (BUILD=build/arm64 CXX=aarch64-linux-gnu-g++) and SYSROOT, a Debian root of that architecture.
IMAGE_ARCH ?= amd64
IMAGE      ?= localhost/weir:$(VERSION)
.PHONY: image image-root
image-root: all  ## the root file system of the image (BUILD/image/root)
	SOURCE_DATE_EPOCH=$(SOURCE_DATE_EPOCH) packaging/container/image-root $(BUILD)/weir $(BUILD)/image/root
image: image-root  ## the container image IMAGE, by buildah (IMAGE_ARCH=amd64 or arm64)
	buildah build --format docker --arch $(IMAGE_ARCH) --timestamp $(SOURCE_DATE_EPOCH) --isolation chroot \
	  --label org.opencontainers.image.title=weir --label org.opencontainers.image.version=$(VERSION) \
	  --label org.opencontainers.image.licenses=MIT \
	  -t $(IMAGE) -f packaging/container/Containerfile $(BUILD)/image
.PHONY: chart
chart:  ## the Helm chart (BUILD/chart/weir, and packed beside it)
	SOURCE_DATE_EPOCH=$(SOURCE_DATE_EPOCH) packaging/chart/make-chart $(BUILD)/chart

.PHONY: clean help
clean:  ## remove build/
	rm -rf build compile_commands.json
help:  ## this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | sort | expand -t 16

-include $(shell find $(BUILD) -name '*.d' -type f 2>/dev/null)
