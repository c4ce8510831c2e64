# Every target is one line: what it does lives in xtask/ (`cargo run -p xtask -- help`), what it needs it sets up itself.
XTASK = cargo run --release -q -p xtask --

demo:        ; $(XTASK) demo
test:        ; $(XTASK) test
bench:       ; $(XTASK) bench
sim:         ; $(XTASK) sim
sim-mutants: ; $(XTASK) sim-mutants
chaos:       ; $(XTASK) chaos
lint:        ; $(XTASK) lint
fmt:         ; cargo fmt --all

export ONCE SEEDS ROUNDS SEED KAFKA RECORDS
.PHONY: demo test bench sim sim-mutants chaos lint fmt
