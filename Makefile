# Everything starts here. `make run` and `make test` install what they need by themselves; all they ask for is Python 3.11 to 3.13.

NAMES := python3 python3.13 python3.12 python3.11
PYTHON ?= $(firstword $(foreach name,$(NAMES),$(shell command -v $(name) 2>/dev/null)) python3)
LAUNCH := $(PYTHON) config/launch/bootstrap.py
VENV := .venv/bin

.PHONY: help run test lint format lock reset bench-record bench-pricing bench-gateway bench-ingest bench-growth bench-close bench-documents bench-data

help:
	@echo "make run           the whole system on this machine, with demo data; Ctrl-C stops it"
	@echo "make test          all tests (ARGS=tests/pricing for some)"
	@echo "make lint          style, types, layers, missing migrations, untranslated strings"
	@echo "make format        put the code in house style"
	@echo "make reset         delete the demo's data and start over"
	@echo "make lock          lock the dependencies anew after a change of requirements*.in (ARGS=--upgrade for newer ones)"
	@echo "make bench-record  measure the recording transaction"
	@echo "make bench-pricing measure rating, comparing and importing prices"
	@echo "make bench-gateway measure the gateway beside other gateways"
	@echo "make bench-ingest  measure pushed usage, from HTTP to commit"
	@echo "make bench-growth  measure pushed usage and the overview with up to ten million events stored"
	@echo "make bench-close   measure the month's close of ten thousand organizations"
	@echo "make bench-documents  measure PDFs a second"
	@echo "make bench-data    build the ten million events that some benchmarks read, once"

run:
	@$(LAUNCH) run

test:
	@$(LAUNCH) test $(ARGS)

lint:
	@$(LAUNCH) lint

format:
	@$(LAUNCH) install-dev
	@$(VENV)/ruff check --fix --quiet . ; $(VENV)/ruff format .

reset:
	@$(LAUNCH) reset

lock:
	@$(LAUNCH) lock $(ARGS)

bench-record:
	@$(LAUNCH) bench-record $(ARGS)

bench-pricing:
	@$(LAUNCH) bench-pricing $(ARGS)

bench-gateway:
	@$(LAUNCH) bench-gateway $(ARGS)

bench-ingest:
	@$(LAUNCH) bench-ingest $(ARGS)

bench-growth:
	@$(LAUNCH) bench-growth $(ARGS)

bench-close:
	@$(LAUNCH) bench-close $(ARGS)

bench-documents:
	@$(LAUNCH) bench-documents $(ARGS)

bench-data:
	@$(LAUNCH) bench-data $(ARGS)
