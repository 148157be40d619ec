"""Which models there are, where their files lie, and that these are the right files.

`demo` ships with track; the others are pulled by name into the user's model folder and pinned to
one revision, size and SHA-256. No model is handed out before the SHA-256 of its files was compared.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from tracker import locations
from tracker.errors import ModelError
from tracker.models.checksum import is_stamped, read_sha256, remove_stamp, write_stamp
from tracker.models.download import Download, Progress, fetch, hub_url

Kind = Literal["sam2", "features", "detector"]

AUTO = "auto"
CHECKSUMS = "SHA256SUMS"


@dataclass(frozen=True)
class ModelFile:
    """A file of a model.

    Attributes:
        name: in the hub's repository; of a shipped model, the path below `checkpoints/`.
        size_bytes, sha256: pinned for pulled files. Left out for shipped files, whose SHA-256
            stands in `checkpoints/SHA256SUMS`.
    """

    name: str
    size_bytes: int = 0
    sha256: str = ""


@dataclass(frozen=True)
class HubSource:
    """A repository on the model hub, at one revision."""

    repo: str
    revision: str


@dataclass(frozen=True)
class Model:
    """One line of the registry.

    Attributes:
        name: what a user types. Only `demo` names a model of each kind.
        kind: `sam2` tracks, `features` finds by looks, `detector` by words.
        config: `sam2`: a Hydra config of the package sam2, or below `configs/` if the model ships
            with track. The others: the one of `files` that holds the transformers config.
        purpose: one line for a person who has to choose.
        files: the weights first.
        hub: where the files are pulled from; None for a model that ships with track.
    """

    name: str
    kind: Kind
    config: str
    purpose: str
    files: tuple[ModelFile, ...]
    hub: HubSource | None = None

    @property
    def folder(self) -> Path:
        """Where the files lie, or will lie."""
        shipped = self.hub is None
        return locations.shipped("checkpoints") if shipped else locations.user_models() / self.name

    @property
    def size_bytes(self) -> int:
        """Of all files; of a shipped model, what is on disk."""
        return sum(file.size_bytes or _size_on_disk(self.folder / file.name) for file in self.files)


@dataclass(frozen=True)
class ModelFiles:
    """An installed model, its files verified.

    Attributes:
        name, kind: as in the registry; `auto` is resolved.
        config: `sam2`: the name of a Hydra config inside the package sam2, or the absolute path of
            a config that ships with track. The others: the absolute path of `config.json`.
        path: `sam2`: the checkpoint. The others: the folder for transformers' `from_pretrained`.
        sha256: of the weights, lower-case hexadecimal.
    """

    name: str
    kind: Kind
    config: str
    path: Path
    sha256: str


@dataclass(frozen=True)
class FileCheck:
    """What a full reading of one file gave. `found` is None for a missing file."""

    path: Path
    expected: str | None
    found: str | None

    @property
    def state(self) -> Literal["ok", "missing", "damaged"]:
        if self.found is None:
            return "missing"
        return "ok" if self.expected in (None, self.found) else "damaged"


def _sam2(size: str, config: str, revision: str, pin: tuple[int, str], purpose: str) -> Model:
    name = f"sam2.1_hiera_{size}"
    return Model(
        name=name,
        kind="sam2",
        config=f"configs/sam2.1/{config}.yaml",
        purpose=purpose,
        files=(ModelFile(f"{name}.pt", *pin),),
        hub=HubSource(f"facebook/sam2.1-hiera-{size.replace('_', '-')}", revision),
    )


def _dinov2(
    size: str, revision: str, pin: tuple[int, str], config_pin: tuple[int, str], purpose: str
) -> Model:
    return Model(
        name=f"dinov2_{size}",
        kind="features",
        config="config.json",
        purpose=purpose,
        files=(ModelFile("model.safetensors", *pin), ModelFile("config.json", *config_pin)),
        hub=HubSource(f"facebook/dinov2-{size}", revision),
    )


_GROUNDING_DINO_TINY = (
    ModelFile(
        "model.safetensors",
        689_359_096,
        "1a2412ef99bd74bcd3c2a246fa1e48581f8889a1300c9051974741314fc042f3",
    ),
    ModelFile(
        "config.json", 1644, "eec82c5ab66e16df12a9a212e68ac011779927c2536cf9078658e35d85f0c67a"
    ),
    ModelFile(
        "preprocessor_config.json",
        457,
        "8454179ba95e2ad22947835aad7b45862a601fc0055ab88bf1ee70892d3aea60",
    ),
    ModelFile(
        "tokenizer.json",
        711_396,
        "d241a60d5e8f04cc1b2b3e9ef7a4921b27bf526d9f6050ab90f9267a1f9e5c66",
    ),
    ModelFile(
        "tokenizer_config.json",
        1237,
        "d40ab645b68211910b9170d22433d43186a6ec8ee6fd10ba170524b25bf4fb56",
    ),
    ModelFile(
        "special_tokens_map.json",
        125,
        "b6d346be366a7d1d48332dbc9fdf3bf8960b5d879522b7799ddba59e76237ee3",
    ),
    ModelFile(
        "vocab.txt", 231_508, "07eced375cec144d27c900241f3e339478dec958f92fddbc551f295c992038a3"
    ),
)

# Of each kind from the smallest to the largest: `auto` takes the last that is installed.
MODELS: tuple[Model, ...] = (
    Model(
        name="demo",
        kind="sam2",
        config="sam2/demo.yaml",
        purpose="samples and tests",
        files=(ModelFile("sam2_demo.pt"),),
    ),
    _sam2(
        "tiny",
        "sam2.1_hiera_t",
        "de431c4043854a71d8101e17995dfe596bf101a5",
        (156_008_466, "7402e0d864fa82708a20fbd15bc84245c2f26dff0eb43a4b5b93452deb34be69"),
        "real footage without a GPU",
    ),
    _sam2(
        "small",
        "sam2.1_hiera_s",
        "ee5bba1d82bb8749febdf90f45e84b687142ba03",
        (184_416_285, "6d1aa6f30de5c92224f8172114de081d104bbd23dd9dc5c58996f0cad5dc4d38"),
        "better masks than tiny, slower",
    ),
    _sam2(
        "base_plus",
        "sam2.1_hiera_b+",
        "b7320756a13354e7530a63935656d35b2f91a290",
        (323_606_802, "a2345aede8715ab1d5d31b4a509fb160c5a4af1970f199d9054ccfb746c004c5"),
        "better still; wants a GPU",
    ),
    _sam2(
        "large",
        "sam2.1_hiera_l",
        "665f8e2ad61cf5f53d65644ff27c8ee525124610",
        (898_083_611, "2647878d5dfa5098f2f8649825738a9345572bae2d4350a2468587ece47dd318"),
        "the best masks; wants a GPU",
    ),
    Model(
        name="demo",
        kind="features",
        config="dinov2_demo/config.json",
        purpose="samples and tests",
        files=(ModelFile("dinov2_demo/model.safetensors"), ModelFile("dinov2_demo/config.json")),
    ),
    _dinov2(
        "small",
        "ed25f3a31f01632728cabb09d1542f84ab7b0056",
        (88_249_960, "ae1e99fcefd534ed978cdeb8326f08030c96e28b7a81ffcbc98a857c84d14be1"),
        (547, "1809f83e3bdb1609a501a610ad4a742f4fd8ae44d72ca4aa0df52d1f2ac8628d"),
        "real footage without a GPU",
    ),
    _dinov2(
        "base",
        "f9e44c814b77203eaa57a6bdbbd535f21ede1415",
        (346_345_912, "d73036b56966966d07975d696bde331762f37297e2f095de8cea0040c3aa0841"),
        (548, "f7ff4cfa73d2f70647dbf6950541ad25d73082d54c2e7e9bded160c7656b2a70"),
        "finer than small, 4x the work",
    ),
    _dinov2(
        "large",
        "47b73eefe95e8d44ec3623f8890bd894b6ea2d6c",
        (1_217_522_888, "399fba97a95f22c36834418bc69373364a99af3a1153da1c0fb31db567c92e23"),
        (549, "12df51c069a2dc1305e34ba71ef58bc2407ea553b75f4722a1715c1bce3bbed0"),
        "the finest; wants a GPU",
    ),
    Model(
        name="grounding_dino_tiny",
        kind="detector",
        config="config.json",
        purpose="boxes for `--text`, in any words",
        files=_GROUNDING_DINO_TINY,
        hub=HubSource(
            "IDEA-Research/grounding-dino-tiny", "a2bb814dd30d776dcf7e30523b00659f4f141c71"
        ),
    ),
)


def find(name: str, kind: Kind | None = None) -> tuple[Model, ...]:
    """The models called `name`: one, or two for `demo` when `kind` is None.

    Raises:
        ModelError: for an unknown name; the message lists the known ones.
    """
    of_kind = [model for model in MODELS if kind in (None, model.kind)]
    found = tuple(model for model in of_kind if model.name == name)
    if not found:
        known = ", ".join(dict.fromkeys(model.name for model in of_kind))
        what = "model" if kind is None else f"{kind} model"
        raise ModelError(f"unknown {what} {name!r}; known: {known}")
    return found


def is_installed(model: Model) -> bool:
    """Whether every file is in place. A pulled file is in place only once it was verified."""
    return all((model.folder / file.name).is_file() for file in model.files)


def installed(kind: Kind) -> tuple[Model, ...]:
    """The installed models of a kind, the best last."""
    return tuple(model for model in MODELS if model.kind == kind and is_installed(model))


def _smallest(kind: Kind) -> tuple[Model, ...]:
    return tuple(model for model in MODELS if model.kind == kind)[:1]


def resolve(name: str, kind: Kind) -> ModelFiles:
    """The files of an installed model, verified. Nothing is downloaded.

    Args:
        name: of the registry, or `auto` for the largest installed one. `auto` does not step over a
            damaged model: that is an error like any other.

    Raises:
        ModelError: for an unknown name, a model that is not installed, or a file whose SHA-256 is
            wrong; the message names the command that mends it.
    """
    model = (installed(kind) or _smallest(kind))[-1] if name == AUTO else find(name, kind)[0]
    if not is_installed(model):
        raise ModelError(f"model {model.name} is not installed; {mend(model)}")
    sha256s = [_verified_sha256(model, file) for file in model.files]
    weights = model.folder / model.files[0].name
    return ModelFiles(
        name=model.name,
        kind=kind,
        config=_config(model),
        path=weights if kind == "sam2" else weights.parent,
        sha256=sha256s[0],
    )


def pull(name: str, progress: Progress | None = None) -> Model:
    """Download what is missing or wrong of a model, resuming where an earlier pull broke off.

    Raises:
        ModelError: for an unknown name, for `demo`, and as `tracker.models.download.fetch`.
    """
    model = find(name)[0]
    if model.hub is None:
        raise ModelError(f"{name} ships with track: there is nothing to pull")
    for file in model.files:
        path = model.folder / file.name
        if not is_stamped(path, file.sha256):
            url = hub_url(model.hub.repo, model.hub.revision, file.name)
            fetch(Download(url, path, file.size_bytes, file.sha256), progress)
            write_stamp(path, file.sha256)
    return model


def verify(model: Model) -> tuple[FileCheck, ...]:
    """Read every file of a model in full and compare its SHA-256, whatever was noted before.

    Raises:
        ModelError: when a file cannot be read.
    """
    return tuple(_check(model, file) for file in model.files)


def is_verified(model: Model) -> bool:
    """Whether an installed model would be handed out without reading large files again."""
    if model.hub is None:
        return all(check.state == "ok" for check in verify(model))
    return all(is_stamped(model.folder / file.name, file.sha256) for file in model.files)


def mend(model: Model) -> str:
    """What a person can do about a missing or damaged model."""
    if model.hub is not None:
        return f"`track models pull {model.name}` fetches it"
    return "it ships with track: install track again"


def _config(model: Model) -> str:
    if model.kind != "sam2":
        return str(model.folder / model.config)
    return model.config if model.hub else str(locations.shipped("configs") / model.config)


def _verified_sha256(model: Model, file: ModelFile) -> str:
    """The SHA-256 of a file, read in full unless a stamp shows that nothing has changed since."""
    path = model.folder / file.name
    if model.hub is not None and is_stamped(path, file.sha256):
        return file.sha256
    check = _check(model, file)
    if check.found is None or check.state != "ok":
        raise ModelError(
            f"{path} is damaged or was replaced: SHA-256 expected {check.expected}, found "
            f"{check.found}; {mend(model)}"
        )
    return check.found


def _check(model: Model, file: ModelFile) -> FileCheck:
    """Read a file in full. Shipped files are small and may lie in a system folder: no stamps."""
    path = model.folder / file.name
    found = read_sha256(path) if path.is_file() else None
    check = FileCheck(path, _expected_sha256(model, file), found)
    if model.hub is not None:
        write_stamp(path, file.sha256) if check.state == "ok" else remove_stamp(path)
    return check


def _expected_sha256(model: Model, file: ModelFile) -> str | None:
    """The pinned SHA-256, or that of `checkpoints/SHA256SUMS`; None if it has no such line."""
    if file.sha256:
        return file.sha256
    sums = model.folder / CHECKSUMS
    if sums.is_file():
        for line in sums.read_text("utf-8").splitlines():
            sha256, _, name = line.partition(" ")
            if name.lstrip(" *").removeprefix("./") == file.name:
                return sha256
    return None


def _size_on_disk(path: Path) -> int:
    return path.stat().st_size if path.is_file() else 0
