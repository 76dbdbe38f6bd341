"""`--push REPO`: upload an s1k/ folder, card included, to a dataset repository on the hub."""

from __future__ import annotations

from s1_core import cli
from s1_core.artifacts import RUN, Artifact
from s1_core.errors import UserError


def upload(s1k: Artifact, repository: str) -> None:
    """Create the repository if need be and commit the folder; an unchanged one changes nothing.

    run.json stays here: it tells of this machine. Raises UserError when the hub refuses.
    """
    import httpx
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError

    hub = HfApi()
    try:
        hub.create_repo(repository, repo_type="dataset", exist_ok=True, private=True)
        done = hub.upload_folder(
            repo_id=repository,
            repo_type="dataset",
            folder_path=s1k.path,
            ignore_patterns=[RUN],
            commit_message=f"s1k {s1k.sha256[:16]}",
        )
    except (HfHubHTTPError, HFValidationError, httpx.HTTPError) as error:
        reason = " ".join(str(error).split())[:300]
        raise UserError(
            f"{repository} was not uploaded ({reason}); log in with HF_TOKEN or `hf auth login`,"
            " and check the name"
        ) from error
    line = f"pushed to {repository}: {done.oid}"
    cli.say(line)
