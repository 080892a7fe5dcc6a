# What a user does here. Every target prepares .venv itself, with no more in it than the target needs.

NET    ?= bvgg16
BOARD  ?= zcu102
FRAMES ?= 10
SIM    ?= verilator
WAVES  ?=
SAIF   ?=
ARCH   ?=
FLAT   ?=
LAYER  ?=
RECIPE ?=
BITS   ?=
DATA   ?=
ARGS   ?=
export NET BOARD

PYTHON ?= python3
JOBS   ?= 2
VENV   := .venv
RUN    := $(VENV)/bin/python

.PHONY: help build sim synth train test bench bench-area bench-lanes bench-powers bench-rate bench-svpe bench-energy bench-train bench-clock lint env clean
.DEFAULT_GOAL := help

help:
	@echo "make build NET=$(NET) BOARD=$(BOARD)   generate Verilog into rtl_out/$(NET)-$(BOARD)"
	@echo "                                   NET is a name or path/to/model.onnx; ARGS=\"--target-fps 20000\" and so on"
	@echo "make build ARCH=svpe               one array for all layers, from memory; vpe: with multipliers; LAYER=NAME to simulate one"
	@echo "make sim FRAMES=$(FRAMES) SIM=$(SIM)     simulate that build against the golden model; SIM=icarus, WAVES=1, SAIF=1"
	@echo "make synth                         what Yosys makes of that build, beside the prediction; FLAT=1: of all modules as one, too"
	@echo "make train RECIPE=best DATA=DIR     train NET into runs/, by its own recipe if none is given; resumes where it stopped"
	@echo "make train NET=tbqnn BITS=3        train power-of-two weights of so many bits"
	@echo "make test                          the whole test suite"
	@echo "make bench                         measure what the project promises; bench-area, bench-lanes, bench-powers, bench-rate, bench-svpe, bench-energy, bench-train, bench-clock: of its parts"
	@echo "make lint | env | clean            ruff | prepare .venv for everything | remove what was generated"

build: $(VENV)/.gen
	@$(RUN) -m gen.build --net "$$NET" --board "$$BOARD" $(if $(ARCH),--arch "$(ARCH)") $(ARGS)

sim: $(VENV)/.sim
	@$(RUN) -m sim.run --net "$$NET" --board "$$BOARD" --frames $(FRAMES) --simulator $(SIM) $(if $(WAVES),--waves) \
	    $(if $(SAIF),--saif) $(if $(ARCH),--arch "$(ARCH)") $(if $(LAYER),--layer "$(LAYER)") $(ARGS)

synth: $(VENV)/.gen
	@$(RUN) -m gen.synth --net "$$NET" --board "$$BOARD" $(if $(ARCH),--arch "$(ARCH)") $(if $(FLAT),--flat) $(ARGS)

train: $(VENV)/.all
	@$(RUN) -m train.run --net "$$NET" $(if $(RECIPE),--recipe "$(RECIPE)") $(if $(BITS),--bits "$(BITS)") $(if $(DATA),--data "$(DATA)") $(ARGS)

test: $(VENV)/.all
	$(RUN) -m pytest -n $(JOBS) $(ARGS)

bench: $(VENV)/.sim
	$(RUN) -m bench.run $(ARGS)

bench-area: $(VENV)/.gen
	$(RUN) -m bench.area $(ARGS)

bench-lanes: $(VENV)/.gen
	$(RUN) -m bench.lanes $(ARGS)

bench-powers: $(VENV)/.sim
	$(RUN) -m bench.powers $(ARGS)

bench-rate: $(VENV)/.sim
	$(RUN) -m bench.rate $(ARGS)

bench-svpe: $(VENV)/.gen
	$(RUN) -m bench.svpe $(ARGS)

bench-energy: $(VENV)/.sim
	$(RUN) -m bench.energy $(ARGS)

bench-train: $(VENV)/.all
	$(RUN) -m bench.train $(if $(DATA),--data "$(DATA)") $(ARGS)

bench-clock: $(VENV)/.all
	$(RUN) -m bench.clock $(ARGS)

lint: $(VENV)/.all
	$(VENV)/bin/ruff check .

env: $(VENV)/.all

clean:
	rm -rf rtl_out/*/ .pytest_cache .ruff_cache
	find boards gen sim tests train -name __pycache__ -prune -exec rm -rf {} +

$(RUN):
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	    { echo "Python 3.11 or newer is needed: make PYTHON=/path/to/python3.11 ..."; exit 1; }
	@$(PYTHON) -m venv $(VENV) || \
	    { rm -rf $(VENV); echo "On Debian and Ubuntu: apt install python3-venv"; exit 1; }

# One stamp for each set of packages, newer than what names them.
define install
	@echo "Preparing $(VENV) (once): $(1)"
	@$(VENV)/bin/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.$(2)'
	@touch $(3)
endef

PACKAGES := pyproject.toml constraints.txt | $(RUN)

$(VENV)/.gen: $(PACKAGES)
	$(call install,generator,,$@)

$(VENV)/.sim: $(PACKAGES)
	$(call install,generator and simulation,[sim],$(VENV)/.gen $@)

$(VENV)/.all: $(PACKAGES)
	$(call install,everything,[sim$(comma)train$(comma)dev],$(VENV)/.gen $(VENV)/.sim $@)

comma := ,
