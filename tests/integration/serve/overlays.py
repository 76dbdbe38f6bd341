"""A small repository with overlays as ours are: a service, a training run, steps of data."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from s1_serve.release import pins
from s1_serve.release.pins import Pins
from s1_serve.release.record import ZERO, Release

BATCH = f"registry.example.com/s1/batch@sha256:{'b' * 64}"
_K8S = "infra/k8s"
_NAMES = 'labels: {app.kubernetes.io/name: s1, app.kubernetes.io/component: "%s"}'

NAMESPACES = "".join(
    f"""---
apiVersion: v1
kind: Namespace
metadata:
  name: s1-{stage}
  labels: {{pod-security.kubernetes.io/enforce: restricted}}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {{name: default-deny, namespace: s1-{stage}}}
spec: {{podSelector: {{}}, policyTypes: [Ingress, Egress]}}
"""
    for stage in ("dev", "staging", "production", "training")
)
POLICY = """
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicy
metadata: {name: s1-digests-only}
spec:
  failurePolicy: Fail
  matchConstraints: {resourceRules: []}
  validations: [{expression: "true"}]
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicyBinding
metadata: {name: s1-digests-only}
spec: {policyName: s1-digests-only, validationActions: [Deny]}
"""
QUEUE = """
apiVersion: kueue.x-k8s.io/v1beta2
kind: LocalQueue
metadata: {name: s1, namespace: s1-training}
spec: {clusterQueue: s1}
"""
SERVICE = f"""
apiVersion: v1
kind: ServiceAccount
metadata: {{name: s1}}
---
apiVersion: apps/v1
kind: Deployment
metadata: {{name: s1}}
spec:
  selector: {{matchLabels: &labels {{app.kubernetes.io/name: s1}}}}
  template:
    metadata: {{labels: *labels}}
    spec:
      containers:
        - name: s1
          image: {BATCH}
          env: [{{name: MODEL_SHA256, value: x}}]
"""
WEIGHTS = f"""
apiVersion: batch/v1
kind: Job
metadata:
  name: weights
  {_NAMES % "weights"}
spec:
  template:
    spec:
      restartPolicy: Never
      containers: [{{name: s1, image: {BATCH}}}]
"""
ROLLOUT = """
apiVersion: argoproj.io/v1alpha1
kind: Rollout
metadata: {name: s1}
spec:
  workloadRef: {apiVersion: apps/v1, kind: Deployment, name: s1}
  strategy: {canary: {steps: [{setWeight: 50}, {pause: {}}]}}
"""
REPLACEMENTS = """
replacements:
  - source: {kind: ConfigMap, name: release, fieldPath: data.image}
    targets:
      - select: {kind: Deployment}
        fieldPaths: ["spec.template.spec.containers.[name=s1].image"]
  - source: {kind: ConfigMap, name: release, fieldPath: data.model}
    targets:
      - select: {kind: Deployment}
        fieldPaths: ["spec.template.spec.containers.[name=s1].env.[name=MODEL_SHA256].value"]
"""
TRAINING = f"""
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {{name: artifacts, namespace: s1-training}}
spec: {{accessModes: [ReadWriteMany], resources: {{requests: {{storage: 1Gi}}}}}}
---
apiVersion: jobset.x-k8s.io/v1alpha2
kind: JobSet
metadata:
  name: train
  namespace: s1-training
  labels: {{kueue.x-k8s.io/queue-name: s1}}
spec:
  replicatedJobs:
    - name: workers
      template:
        spec:
          completionMode: Indexed
          template:
            spec:
              containers:
                - name: trainer
                  image: {BATCH}
                  args: [--out, /artifacts/runs/$(RUN)]
"""
DATA = "".join(
    f"""---
apiVersion: batch/v1
kind: Job
metadata:
  name: {step}
  namespace: s1-training
  labels: {{s1/step: {step}}}
spec:
  template:
    spec:
      restartPolicy: Never
      containers: [{{name: {step}, image: {BATCH}, args: [--step, {step}]}}]
"""
    for step in ("questions", "traces", "select")
)


def build(root: Path) -> Path:
    """Write the repository, with its zeros for pins, and commit it."""
    kustomize(root, "namespaces", NAMESPACES)
    kustomize(root, "policy", POLICY)
    kustomize(root, "queues", QUEUE)
    kustomize(root, "training/overlays/cluster", TRAINING)
    kustomize(root, "data/overlays/cluster", DATA)
    for stage in ("dev", "staging", "production"):
        content = SERVICE + ("---" + ROLLOUT if stage == "production" else "---" + WEIGHTS)
        more = f"  - release.yaml\nnamespace: s1-{stage}\n{REPLACEMENTS}"
        kustomize(root, f"serving/overlays/{stage}", content, more)
        zeros = Pins(release=ZERO, image=f"registry.example.com/s1/serve@sha256:{ZERO}", model=ZERO)
        (root / pins.path(stage)).write_text(zeros.text)
    git(root, "init", "--quiet")
    commit(root)
    return root


def kustomize(root: Path, name: str, content: str, more: str = "") -> None:
    """Write a folder that kustomize builds out of one file."""
    folder = root / _K8S / name
    folder.mkdir(parents=True)
    folder.joinpath("objects.yaml").write_text(content)
    folder.joinpath("kustomization.yaml").write_text(f"resources:\n  - objects.yaml\n{more}")


def release(root: Path, digit: str) -> Release:
    """Commit the record of a release whose hashes are made of a digit."""
    made = Release(
        model=digit * 64, image=f"registry.example.com/s1/serve@sha256:{digit * 64}",
        code=digit * 40, data=None, base=None, checkpoint=None, step=None,
        report=digit * 64, gates=digit * 64,
    )  # fmt: skip
    path = root / made.path
    path.parent.mkdir(exist_ok=True)
    path.write_text(made.text)
    commit(root)
    return made


def pin(root: Path, stage: str, wanted: Pins) -> None:
    """Commit a stage's pins."""
    (root / pins.path(stage)).write_text(wanted.text)
    commit(root, f"pin\n\nRelease: {wanted.release}\nStage: {stage}\nAction: promote\nFrom: none")


def commit(root: Path, message: str = "change") -> None:
    """Commit whatever there is."""
    git(root, "add", "--all")
    git(root, "commit", "--quiet", "--message", message)


def git(root: Path, *words: str) -> None:
    """Run git as nobody in particular."""
    names = {f"GIT_{who}_{what}": "nobody@example.com"
             for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}  # fmt: skip
    subprocess.run(["git", *words], cwd=root, env=os.environ | names, check=True)
