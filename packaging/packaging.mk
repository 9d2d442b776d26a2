# make install, uninstall, dist, deb, rpm. What is installed where: packaging/files.
PREFIX     ?= /usr
DESTDIR    ?=
SBINDIR    ?= $(PREFIX)/sbin
BINDIR     ?= $(PREFIX)/bin
SYSCONFDIR ?= /etc
DATADIR    ?= $(PREFIX)/share
MANDIR     ?= $(DATADIR)/man
DOCDIR     ?= $(DATADIR)/doc/weir
UNITDIR    ?= $(PREFIX)/lib/systemd/system
STRIP      ?= strip
# debian: also ufw, needrestart, AppArmor; redhat: also firewalld; none: neither.
FLAVOUR    ?= $(if $(wildcard /etc/debian_version),debian,$(if $(wildcard /etc/redhat-release),redhat,none))
ENVFILE    ?= $(SYSCONFDIR)/$(if $(filter redhat,$(FLAVOUR)),sysconfig,default)/weir
# The program looks into /etc/weir by itself.
CONFIG_ARGS = $(if $(filter-out /etc,$(SYSCONFDIR)), -c $(SYSCONFDIR)/weir/weir.conf)
INSTALL_VARIABLES = BUILD PREFIX DESTDIR SBINDIR BINDIR SYSCONFDIR ENVFILE UNITDIR MANDIR DATADIR DOCDIR \
                    CONFIG_ARGS VERSION STRIP FLAVOUR
install_files = $(foreach name,$(INSTALL_VARIABLES),$(name)='$($(name))') scripts/install-files

# The day of a release: of the last commit, or as the tarball says. Pages and packages of one version are equal.
SOURCE_DATE_EPOCH ?= $(or $(shell cat packaging/EPOCH 2>/dev/null || git log -1 --format=%ct 2>/dev/null),0)
RELEASE_DAY = $(shell date -u -d @$(SOURCE_DATE_EPOCH) +%F)

# Pages of the manual and completion: texts of packaging/, with what the program says of itself put in, so
# that they can't tell of other options and commands than it has.
MADE_TEXTS := $(addprefix $(BUILD)/packaging/,weir.8 weirctl.8 weir.conf.5 weirctl.bash)
$(BUILD)/weirctl: $(BUILD)/weir
	ln -sfn weir $@
$(BUILD)/packaging/%: packaging/man/%.in scripts/make-page $(BUILD)/weirctl packaging/VERSION
	@mkdir -p $(@D)
	scripts/make-page $< $(BUILD) $(VERSION) $(RELEASE_DAY) > $@.new && mv $@.new $@
$(BUILD)/packaging/%: packaging/completion/%.in scripts/make-page $(BUILD)/weirctl
	@mkdir -p $(@D)
	scripts/make-page $< $(BUILD) $(VERSION) $(RELEASE_DAY) > $@.new && mv $@.new $@

.PHONY: man
man: $(MADE_TEXTS)  ## pages of the manual and bash completion (build/packaging)

.PHONY: install uninstall
install: all man  ## install to $(DESTDIR)$(PREFIX); what is in /etc/weir stays as it is
	@$(install_files) install
uninstall:  ## remove what make install has installed; changed configuration and the user stay
	@$(install_files) uninstall
