# What a person types. `make` alone prints the targets; local/README.md tells what each one does to this machine.
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory
CLUSTER ?= local
export CLUSTER

scenarios := $(patsubst molecule/%/molecule.yml,%,$(wildcard molecule/*/molecule.yml))
verbs := up down status psql ssh drill restore-drill env check lint test test-all bench image lab lab-down

.PHONY: help $(verbs) $(scenarios:%=molecule-%)

help: ## print this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-20s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))
	@printf '  make %-20s run the scenario %s\n' $(foreach name,$(scenarios),molecule-$(name) molecule/$(name))

up: ## a highly available PostgreSQL cluster on this machine, from nothing
down: ## remove all that `make up` made, and nothing else
status: ## members, roles, lag, etcd and certificates (CLUSTER=name for one on Vultr)
psql: ## a session on the leader (CLUSTER=name for one on Vultr)
ssh: ## a shell on a node: make ssh NODE=local-etcd-1 (CLUSTER=name for one on Vultr)
drill: ## break the cluster on purpose and judge what clients saw: make drill FAULTS=all CYCLES=3 (RESUME=latest goes on; UNTIMED=1 on a busy machine; SCALE=10 on a small one)
env: ## what points a shell at the cluster on this machine: eval "$$(make env)"
check: ## lint and every fast test
lint: ## only the linters
test: ## check, a scenario for each role, the whole cluster, and the whole path that a person walks
test-all: ## the same with every scenario
bench: ## the figures that the documents quote (PART=deploy or backup: only those; MEGABYTES=200: a small database)
restore-drill: ## destroy all data of the cluster on this machine and bring it back from its backups
lab: ## one concept alone, to look at and to break: make lab CONCEPT=replication (etcd, patroni, backup, certificates, firewall)
lab-down: ## remove the labs
image: ## the container image that stands for a host

$(filter-out env,$(verbs)):
	@sh local/bootstrap $@

# A refusal must not leave the shell pointed at the real Vultr: `eval ""` would succeed.
env:
	@sh local/bootstrap $@ || { echo 'unset VULTR_API_KEY TF_VAR_vultr_api_key; false'; exit 1; }

$(scenarios:%=molecule-%):
	@sh local/bootstrap molecule $(@:molecule-%=%)
