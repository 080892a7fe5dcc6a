"""Published files, fetched once, checked and unpacked."""

import gzip
import hashlib
import http.client
import io
import tarfile
import urllib.request
import zlib
from pathlib import Path

from gen.errors import UserError
from train.data.datasets import DATASETS

__all__ = ["fetch"]


def fetch(name, missing, below):
    """Download what holds the missing files of a data set.

    Parameters
    ----------
    name : str
        A key of `DATASETS`.
    missing : list of str
        Names of files.
    below : pathlib.Path
        Where to put them; made if missing.

    Raises
    ------
    UserError
        No connection, not the published file, an archive that does not unpack, or no place to write to.
    """
    wanted = (
        f"{name} needs {', '.join(missing)} in {below}. Put them there, or name the folder that "
        "has them with --data DIR or BNN_DATA"
    )
    for source in DATASETS[name].sources:
        files = [file for file in source.files if file in missing]
        if not files:
            continue
        try:
            with urllib.request.urlopen(source.url, timeout=60) as answer:
                data = answer.read()
        except (OSError, http.client.HTTPException) as error:
            raise UserError(f"{wanted}. Downloading {source.url} failed: {error}") from None
        if hashlib.md5(data, usedforsecurity=False).hexdigest() != source.md5:
            raise UserError(f"{wanted}. What {source.url} sent has the wrong md5")
        try:
            contents = _unpack(source.url, data, files)
        except (EOFError, zlib.error, gzip.BadGzipFile, tarfile.TarError) as error:
            raise UserError(f"{wanted}. What {source.url} sent does not unpack: {error}") from None
        try:
            below.mkdir(parents=True, exist_ok=True)
            for file, content in contents.items():
                part = below / f"{file}.part"  # of which an interrupted run may leave half
                part.write_bytes(content)
                part.replace(below / file)
        except OSError as error:
            raise UserError(f"{wanted}. Writing there failed: {error}") from None


def _unpack(url, data, files):
    """The bytes of each of ``files``, out of a .tar.gz, out of a .gz of one file, or as they came."""
    if not url.endswith(".gz"):
        return {files[0]: data}
    content = gzip.decompress(data)
    if not url.endswith(".tar.gz"):
        return {files[0]: content}
    with tarfile.open(fileobj=io.BytesIO(content)) as archive:
        members = {Path(member.name).name: member for member in archive if member.isfile()}
        if absent := set(files) - set(members):
            raise tarfile.TarError(f"no {', '.join(sorted(absent))} in it")
        return {file: archive.extractfile(members[file]).read() for file in files}
