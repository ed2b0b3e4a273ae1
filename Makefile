# The everyday commands. Each is thin: what it does stands in scripts/.

.PHONY: demo test bench lint interop fuzz package clean

demo: ## Three Elixir nodes and a plain Erlang node find each other, before your eyes.
	@scripts/setup
	@scripts/demo

test: ## Every test: Rust, EUnit, Common Test, ExUnit, and whole systems of real nodes.
	@scripts/setup test
	@scripts/test

bench: ## The measurements that the README quotes, as ratios.
	@scripts/setup test
	@scripts/bench

lint: ## Formatting, compiler warnings, clippy, dialyzer, licences.
	@scripts/setup
	@scripts/lint

interop: ## The tests against newer OTP releases, in chroots.
	@scripts/setup test
	@scripts/interop

fuzz: ## The fuzzers, FUZZ_SECONDS each (default 600).
	@scripts/fuzz

package: ## Stages the hex package in package/.
	@scripts/setup
	@scripts/package

clean: ## Removes everything that the other targets made.
	cargo clean
	rm -rf fuzz/target fuzz/artifacts package erlang/_build erlang/priv mix_project/_build mix_project/priv
