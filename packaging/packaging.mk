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

# The time of a release is that of the last commit (of a tarball: of its files), so that what is made of one
# version is equal wherever it is made.
SOURCE_DATE_EPOCH ?= $(shell $(if $(wildcard .git),git log -1 --format=%ct,stat -c %Y packaging/VERSION))
RELEASE_DAY = $(shell date -u -d @$(SOURCE_DATE_EPOCH) +%F)

# Pages of the manual and completion: texts of packaging/, with what the program says of itself put in, so
# that they can't tell of other options and commands than it has. A tarball has them in packaging/made.
MADE_TEXTS := $(addprefix $(BUILD)/packaging/,weir.8 weirctl.8 weir.conf.5 weirctl.bash)
ifneq ($(wildcard packaging/made/weir.8),)
$(BUILD)/packaging/%: packaging/made/%
	@mkdir -p $(@D)
	cp $< $@
else
$(BUILD)/weirctl: $(BUILD)/weir
	ln -sfn weir $@
$(BUILD)/packaging/%: packaging/man/%.in scripts/make-page $(BUILD)/weirctl $(BUILD)/version.stamp
	@mkdir -p $(@D)
	scripts/make-page $< $(BUILD) $(VERSION) $(RELEASE_DAY) > $@.new && mv $@.new $@
$(BUILD)/packaging/%: packaging/completion/%.in scripts/make-page $(BUILD)/weirctl
	@mkdir -p $(@D)
	scripts/make-page $< $(BUILD) $(VERSION) $(RELEASE_DAY) > $@.new && mv $@.new $@
endif

.PHONY: man
man: $(MADE_TEXTS)  ## pages of the manual and bash completion (build/packaging)

.PHONY: install install-built uninstall list-files
install: all install-built  ## install to $(DESTDIR)$(PREFIX); what is in /etc/weir stays as it is
install-built: man
	@$(install_files) install
uninstall:  ## remove what make install has installed; changed configuration and the user stay
	@$(install_files) uninstall

list-files:
	@$(install_files) list

# The tarball: what git knows, and the made texts. Equal bytes from equal commits.
DIST_NAME = weir-$(VERSION)
DIST_DIR  = $(BUILD)/pkg/$(DIST_NAME)
TARBALL   = $(BUILD)/pkg/$(DIST_NAME).tar.gz
DIST_TAR  = tar --mtime=@$(SOURCE_DATE_EPOCH) --owner=0 --group=0 --numeric-owner --mode=go-w
.PHONY: dist
dist: man  ## tarball of the sources, with pages of the manual made (build/pkg)
	@mkdir -p $(BUILD)/pkg
	@echo $(VERSION) > $(BUILD)/packaging/VERSION
	@{ $(if $(wildcard .git),git ls-files,find . -type f -not -path './$(BUILD)/*' -printf '%P\n'); } | \
	  grep -vx packaging/VERSION | LC_ALL=C sort | $(DIST_TAR) -c -f $(TARBALL).tar --transform 's,^,$(DIST_NAME)/,' \
	  --verbatim-files-from -T -
	@$(DIST_TAR) -r -f $(TARBALL).tar -C $(BUILD)/packaging --transform 's,^,$(DIST_NAME)/packaging/made/,' \
	  $(notdir $(MADE_TEXTS))
	@$(DIST_TAR) -r -f $(TARBALL).tar -C $(BUILD)/packaging --transform 's,^,$(DIST_NAME)/packaging/,' VERSION
	@gzip -n < $(TARBALL).tar > $(TARBALL) && rm $(TARBALL).tar
	@echo $(TARBALL)

# Packages are built from the tarball, outside of the tree. The program in them is this tree's, which has been
# built already by the same flags; PREBUILT= builds it from the tarball.
PREBUILT ?= $(abspath $(BUILD))
# Nothing of this make may reach theirs, but the compiler.
CLEAN_MAKE = env -u MAKEFLAGS -u MAKELEVEL -u MFLAGS SOURCE_DATE_EPOCH=$(SOURCE_DATE_EPOCH) CXX='$(CXX)'
DEB_REVISION ?= 1
.PHONY: deb
deb: all dist  ## packages for Debian 12 (build/pkg)
	rm -rf $(DIST_DIR)
	rm -f $(BUILD)/pkg/*_$(VERSION)-$(DEB_REVISION)_*
	tar -x -C $(BUILD)/pkg -f $(TARBALL) --exclude='$(DIST_NAME)/t'
	cp -r packaging/debian $(DIST_DIR)/debian
	scripts/make-changelog deb $(VERSION) $(DEB_REVISION) $(SOURCE_DATE_EPOCH) > $(DIST_DIR)/debian/changelog
	cd $(DIST_DIR) && $(CLEAN_MAKE) WEIR_PREBUILT=$(PREBUILT) dpkg-buildpackage -b -us -uc
	rm -rf $(DIST_DIR)
	@ls $(BUILD)/pkg/*_$(VERSION)-$(DEB_REVISION)_*.deb

# For EL9 and Fedora: with C++'s library in the program, since theirs may be older. Its unused half goes away, which
# asks for a newer C library than EL9's (arc4random). libgcc stays shared: the static one asks for one, too
# (_dl_find_object), and the shared one of any EL9 has all that is needed.
RPM_LDFLAGS = -static-libstdc++ -Wl,--gc-sections
$(BUILD)/rpm/weir: $(BUILD)/weir
	@mkdir -p $(@D)
	$(CXX) $(ALL_LDFLAGS) $(RPM_LDFLAGS) -o $@ $(WEIR_OBJS) $(LIBS_EVENT)

RPM_RELEASE ?= 1
.PHONY: rpm
rpm: $(if $(PREBUILT),$(BUILD)/rpm/weir) dist  ## package for EL9 and Fedora (build/pkg)
	mkdir -p $(BUILD)/rpm
	sed -e 's|@VERSION@|$(VERSION)|g; s|@RELEASE@|$(RPM_RELEASE)|g; s|@LDFLAGS@|$(RPM_LDFLAGS)|g' \
	  packaging/rpm/weir.spec.in > $(BUILD)/rpm/weir.spec
	scripts/make-changelog rpm $(VERSION) $(RPM_RELEASE) $(SOURCE_DATE_EPOCH) >> $(BUILD)/rpm/weir.spec
	$(CLEAN_MAKE) WEIR_PREBUILT=$(addsuffix /rpm,$(PREBUILT)) rpmbuild -bb --nodeps --quiet \
	  --define '_topdir $(abspath $(BUILD))/rpm/top' --define '_sourcedir $(abspath $(BUILD))/pkg' \
	  --define '_rpmdir $(abspath $(BUILD))/pkg' \
	  --define '_build_name_fmt %%{NAME}-%%{VERSION}-%%{RELEASE}.%%{ARCH}.rpm' $(BUILD)/rpm/weir.spec
	rm -rf $(BUILD)/rpm/top
	@ls $(BUILD)/pkg/weir-$(VERSION)-$(RPM_RELEASE).*.rpm
