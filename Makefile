# Every target makes .venv and installs into it what it needs; a second run reuses what stands.
# PYTHON=/path/to/python chooses the interpreter that .venv is made with.
.DEFAULT_GOAL := help
.PHONY: help demo bench gpu test kills saves votes merges listing traffic engines faults export pages results readme docs preview dev clean
bin := .venv/bin
JOBS ?= logical

help:    ## list the targets
	@sed -n 's/^\([a-z]*\): *[^#]*## *\(.*\)/  make \1\t\2/p' Makefile | expand -t 18

demo:    ## train, sample and score a small U-Net on the embedded images; ARGS="..." goes to `urepa demo`
	@.ci/install
	@$(bin)/urepa demo $(ARGS)

bench:   ## measure a training step beside a literal one, some minutes on a quiet core; ARGS="--student b --batch 64 --device cuda" chooses
	@.ci/install
	@OMP_NUM_THREADS=1 $(bin)/urepa bench --out data/results/speed.json $(ARGS)

gpu:     ## measure a GPU in eight minutes: is it right, steps, sampling, feeding, alignment at the paper's grids; a second call goes on
	@.ci/install
	@$(bin)/urepa bench --device cuda --minutes 8 --out data/results/gpu.json $(ARGS)

test:    ## run every page, and check that pages, package, wheel, commands and documentation agree; ARGS="-k page" chooses
	@.ci/install dev
	@$(bin)/python -m pytest -n $(JOBS) --maxprocesses 8 --dist worksteal $(ARGS)

kills:   ## kill a training run at random moments, sixty times, and see that nothing is lost; ARGS="--seed 1" chooses the moments
	@.ci/install dev
	@$(bin)/python tests/kills.py --kills 60 --out data/results/kills.json $(ARGS)

saves:   ## measure how long a step stands still for a checkpoint, whole and split over two processes
	@.ci/install dev
	@$(bin)/python tests/saves.py --out data/results/saves.json $(ARGS)

votes:   ## measure what it costs 2, 8 and 16 processes to ask at every step whether the run shall stop
	@.ci/install dev
	@$(bin)/python tests/votes.py --out data/results/votes.json $(ARGS)

merges:  ## measure the memory in which 2, 4 and 8 processes bring together what they have seen of images
	@.ci/install dev
	@$(bin)/python tests/merges.py --out data/results/merges.json $(ARGS)

listing: ## measure memory and time of listing one and five million images
	@.ci/install dev
	@$(bin)/python tests/listing.py --out data/results/listing.json $(ARGS)

traffic: ## time what follows the backward pass: clipping, AdamW, averages; ARGS="--device cuda" on a GPU
	@.ci/install dev
	@$(bin)/python tests/traffic.py --out data/results/traffic.json $(ARGS)

engines: ## compare the reading of a far store with litdata and mosaicml-streaming, where they are installed
	@.ci/install dev
	@$(bin)/python tests/engines.py --out data/results/engines.json $(ARGS)

faults:  ## put faults into the mathematics and list those that nothing notices; ARGS="--sample 30" is shorter, "--out FILE" goes on
	@.ci/install dev
	@$(bin)/python tests/faults.py $(ARGS)

export:  ## write the package from the pages, the README from the index page, and the checksums of data/
	@.ci/install dev
	@$(bin)/nbdev-export
	@$(bin)/nbdev-clean
	@$(bin)/python .ci/readme.py
	@$(bin)/python .ci/checksums.py

pages:   ## run the pages and store what they show, two at a time; PAGES="nbs/align/43_token.ipynb" chooses, FLAGS=slow runs slow cells too
	@.ci/install dev
	@$(bin)/python .ci/pages.py --flags "$(FLAGS)" $(PAGES)

results: ## measure again what a page keeps in data/results, its slow cells included; PAGE="nbs/align/40_depth.ipynb" says which
	@.ci/install dev
	@$(bin)/python .ci/pages.py --results $(PAGE)
	@$(bin)/python .ci/checksums.py

docs:    ## render the website into _site with Quarto
	@.ci/install dev
	@$(bin)/python .ci/website.py docs

preview: ## show the website without Quarto; ARGS="--port 8000" chooses the port
	@.ci/install dev
	@$(bin)/python .ci/website.py preview $(ARGS)

dev:     ## prepare for work on the pages: git hooks that keep notebooks clean, JupyterLab
	@.ci/install dev
	@$(bin)/nbdev-install-hooks
	@# found without an activated .venv
	@git config --file .gitconfig merge.jupyternotebook.driver '"$(CURDIR)/$(bin)/nbdev-merge" %O %A %B %P'
	@git config --file .gitconfig diff.jupyternotebook.command '"$(CURDIR)/$(bin)/nbdev-diff-driver"'
	@printf '#!/bin/sh\nexec "%s/$(bin)/nbdev-trust"\n' "$(CURDIR)" > .git/hooks/post-merge
	@echo "Ready. Start JupyterLab with: $(bin)/jupyter lab nbs"

clean:   ## remove what builds leave behind; .venv and runs/ stay
	rm -rf _proc _docs _site _preview build dist *.egg-info .pytest_cache
