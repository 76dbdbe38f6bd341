# Every command anyone types. A recipe runs one module's CLI with its arguments as they are.
set positional-arguments
set shell := ["bash", "-euo", "pipefail", "-c"]

python := justfile_directory() / ".venv/bin/python"
export PATH := justfile_directory() / ".venv/bin:" + env("PATH")
# More threads than one per process were 7 times slower on shared cores; a CUDA machine may raise it.
export OMP_NUM_THREADS := env("OMP_NUM_THREADS", "1")
export VLLM_ENABLE_V1_MULTIPROCESSING := env("VLLM_ENABLE_V1_MULTIPROCESSING", "0")
export VLLM_NO_USAGE_STATS := "1"
export DO_NOT_TRACK := "1"
export HF_HUB_DISABLE_TELEMETRY := "1"

[private]
default:
    @just --list --unsorted

# the whole line on the embedded default: data, training, export, budget forcing, report
[group('start')]
demo *args: setup
    @"{{python}}" -m s1_core.pipeline --config demo "$@"

# install the pinned environment; nothing to do costs milliseconds
[group('start')]
setup:
    @"{{python}}" infra/requirements/install.py

# remove what the recipes wrote under artifacts/
[group('start')]
clean:
    rm -rf artifacts

# questions -> s1k/ (--config bank | real | s1k; bank when not said)
[group('data')]
build-data *args: setup
    @"{{python}}" -m s1_data.build "$@"

# questions asked of a teacher behind an endpoint -> traces/ (--task attempts: answers to grade)
[group('data')]
traces *args: setup
    @"{{python}}" -m s1_data.teacher "$@"

# the shards of `just traces --shard i/n` -> one artifact
[group('data')]
merge *args: setup
    @"{{python}}" -m s1_data.merge "$@"

# thinking about the bank's problems, each step right or wrong -> steps/, for a reward model
[group('data')]
steps *args: setup
    @"{{python}}" -m s1_data.steps "$@"

# a benchmark -> a question artifact (--name heldout | aime24 | aime25 | math500 | gpqa_diamond ...)
[group('data')]
benchmark *args: setup
    @"{{python}}" -m s1_data.benchmarks "$@"

# sampled answers of a model on a question artifact -> attempts/
[group('data')]
attempts *args: setup
    @"{{python}}" -m s1_serve.attempts "$@"

# fine-tune on an s1k/ artifact -> run/ (resumes by itself)
[group('train')]
train *args: setup
    @"{{python}}" -m s1_train.fit "$@"

# checkpoint -> model/: safetensors, tokenizer, manifest
[group('train')]
export *args: setup
    @"{{python}}" -m s1_train.export "$@"

# the embedded base model from scratch: documents, training, export -> artifacts/base/model
[group('train')]
build-base *args: setup
    @"{{python}}" -m s1_core.pipeline --config base "$@"

# an OpenAI-compatible endpoint on a model/ artifact
[group('serve')]
serve *args: setup
    @"{{python}}" -m s1_serve.service "$@"

# a process reward model behind vLLM's /pooling, on :8001: just reward --model artifacts/prm/model
[group('serve')]
reward *args: setup
    @"{{python}}" -m s1_serve.reward "$@"

# one question, with a thinking budget: just ask "..." --budget 64 --extends 1
[group('serve')]
ask *args: setup
    @"{{python}}" -m s1_serve.client "$@"

# the service with its settings, model and pinned requirements -> a Bento (--carry copy | store | mount)
[group('serve')]
bento *args: setup
    @"{{python}}" -m s1_serve.bento "$@"

# a container image of a Bento (--bento TAG) or of the batch jobs (--batch cpu|gpu); --push REGISTRY/REPO
[group('serve')]
image *args: setup
    @"{{python}}" -m s1_serve.image "$@"

# accuracy against thinking, with intervals -> report/
[group('evaluate')]
evaluate *args: setup
    @"{{python}}" -m s1_serve.evaluate "$@"

# stored samples by other rules, no model: just replay report --method maj@8,shortest-3@8 -> replay/
[group('evaluate')]
replay *args: setup
    @"{{python}}" -m s1_serve.evaluate.replay "$@"

# a model's family and temperature, for auto: just calibrate --model M --benchmark B -> calibration/
[group('evaluate')]
calibrate *args: setup
    @"{{python}}" -m s1_serve.evaluate.calibrate "$@"

# two reports, run by run: just compare report_a report_b -> paired differences and verdicts
[group('evaluate')]
compare *args: setup
    @"{{python}}" -m s1_serve.evaluate.compare "$@"

# ratios against named peers, measured in one run
[group('evaluate')]
bench *args: setup
    @"{{python}}" tests/bench/run.py "$@"

# just release create --model M --report R --image REPOSITORY@sha256:DIGEST; just release status
[group('ship')]
release *args: setup
    @"{{python}}" -m s1_serve.release "$@"

# just gate ID: a release against production, offline; with --endpoint URL what staging serves
[group('ship')]
gate *args: setup
    @"{{python}}" -m s1_serve.release.gate "$@"

# just promote staging ID; just promote production ID --expect CURRENT
[group('ship')]
promote *args: setup
    @"{{python}}" -m s1_serve.release.promote "$@"

# just rollback production
[group('ship')]
rollback *args: setup
    @"{{python}}" -m s1_serve.release.rollback "$@"

# a model to a store by its hash, verified first: just weights --sha256 HASH --source FOLDER|URL --store DIR
[group('ship')]
weights *args: setup
    @"{{python}}" -m s1_serve.weights "$@"

# the YAML of an overlay: just render staging, just render training/cluster
[group('ship')]
render *args: setup
    @"{{python}}" -m s1_serve.cluster.render "$@"

# an overlay to its cluster, and wait for the rollout: just deploy staging
[group('ship')]
deploy *args: setup
    @"{{python}}" -m s1_serve.cluster.deploy "$@"

# a job of its own name: just submit train; just submit data --step traces
[group('ship')]
submit *args: setup
    @"{{python}}" -m s1_serve.cluster.submit "$@"

# the whole way of a checkpoint on this machine, without a cluster: gates, rollouts under load, rollback
[group('ship')]
rehearse *args: setup
    @PYTHONPATH="{{justfile_directory()}}/tests" "{{python}}" -m rehearsal "$@"

# everything a change must pass; at most 20 minutes on 2 cores
[group('develop')]
check: setup lint types imports test

# soaks, kills and the whole demo
[group('develop')]
check-slow *args: setup
    "{{python}}" -m pytest -m slow "$@"

[group('develop')]
test *args: setup
    "{{python}}" -m pytest -m "not slow" "$@"

[group('develop')]
lint: setup
    ruff check . && ruff format --check .

[group('develop')]
types: setup
    mypy packages/core/src packages/data/src packages/train/src packages/serve/src

[group('develop')]
imports: setup
    lint-imports

# rewrite the pinned requirement files from the .in files
[group('develop')]
pin:
    "{{python}}" infra/requirements/pin.py
