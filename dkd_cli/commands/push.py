"""`dkd push`: upload a model folder, its card included, to the Hugging Face hub.

Knows no token: that is huggingface_hub's own business (`hf auth login`, or HF_TOKEN).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from dkd_cli.errors import DkdError, ModelError, RecipeError, SystemProblem, reason
from dkd_cli.manifests import damage
from dkd_cli.report.noise import quiet_libraries
from dkd_cli.report.terminal import Terminal

CARD = "README.md"
REPOSITORY = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
LOGIN = "log in with `hf auth login`, or set HF_TOKEN"


def push(folder: Path, repository: str, *, public: bool, dry_run: bool, terminal: Terminal) -> None:
    """Upload every file of a model folder as one commit.

    Args:
        folder: a model or an export.
        repository: `org/name`; made if it does not exist, private unless `public`.
        public: whether anyone may see it.
        dry_run: print what would be uploaded, then stop; asks the hub nothing.
        terminal: for the list and the address.

    Raises:
        RecipeError: for a name that no repository can have.
        ModelError: for a folder that holds no model, or a damaged one.
        SystemProblem: where the hub cannot be reached, refuses, or has a public repository of that name and
            `public` was not asked for.
    """
    if REPOSITORY.fullmatch(repository) is None:
        raise RecipeError("--to", f"{repository!r} is no repository", "write it as org/name")
    files = model_files(folder)
    size = sum(file.stat().st_size for file in files)
    kind = "public" if public else "private"
    terminal.say(f"{folder} -> {repository} ({kind}): {len(files)} files, {size / 1e6:.1f} MB")
    for file in files:
        terminal.say(f"  {file.relative_to(folder)}  {file.stat().st_size:,} bytes")
    if not (folder / CARD).is_file():
        terminal.warn(f"{folder} has no {CARD}: the hub will show no model card")
    if (folder / "recipe.yaml").is_file():
        terminal.say("recipe.yaml names your data and models as you do, local paths included")
    if dry_run:
        terminal.say("nothing was uploaded")
        return
    terminal.say(f"uploaded: {upload(folder, files, repository, public=public)}")


def model_files(folder: Path) -> list[Path]:
    """Every file of a model folder, hidden ones aside.

    Raises:
        ModelError: for a folder that holds no model, or a damaged one.
    """
    if not (folder / "config.json").is_file():
        raise ModelError(str(folder), "holds no model", "name a model folder, such as one from `dkd distill`")
    broken = damage(folder) if (folder / "dkd-manifest.json").is_file() else None
    if broken is not None:
        raise ModelError(str(folder), broken, "make it again")
    found = sorted(path for path in folder.rglob("*") if path.is_file())
    return [
        path for path in found if not any(part.startswith(".") for part in path.relative_to(folder).parts)
    ]


def upload(folder: Path, files: Sequence[Path], repository: str, *, public: bool) -> str:
    """Make the repository if it is missing, and commit the files; returns the address of the commit."""
    quiet_libraries()
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError, OfflineModeIsEnabled, RepositoryNotFoundError

    # Of the HTTP library underneath, which is another one from version to version.
    http_error: type[Exception] = HfHubHTTPError.__mro__[1]
    api = HfApi()
    try:
        try:
            known = api.repo_info(repository)
        except RepositoryNotFoundError:
            api.create_repo(repository, private=not public, exist_ok=True)
        else:
            if not known.private and not public:
                raise SystemProblem(
                    repository, "is a public repository", "add --public, or choose another name with --to"
                )
        done = api.upload_folder(
            repo_id=repository,
            folder_path=folder,
            allow_patterns=[str(file.relative_to(folder)) for file in files],
            commit_message=f"{folder.resolve().name}, made with dkd",
        )
    except OfflineModeIsEnabled as error:
        raise SystemProblem(repository, "the hub is switched off", "unset HF_HUB_OFFLINE") from error
    except HfHubHTTPError as error:
        raise _refused(repository, error) from error
    except (http_error, OSError) as error:
        raise SystemProblem(
            repository, f"the hub cannot be reached ({reason(error)})", "try again later"
        ) from error
    return str(done.commit_url)


def _refused(repository: str, error: Exception) -> DkdError:
    status = getattr(getattr(error, "response", None), "status_code", None)
    remedy = LOGIN if status in (401, 403) else "see what it says"
    return SystemProblem(repository, f"the hub refuses ({reason(error)})", remedy)
