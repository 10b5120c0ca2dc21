"""Files that are written completely or not at all."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """A context that gives a temporary name beside `path` and then replaces `path` by the file written there.

    After an error the temporary file is removed and an existing `path` is kept. A missing folder is created.

    Args:
        path: The final name.

    Yields:
        The name to write to, NAME.partial.SUFFIX.

    Raises:
        OSError: The folder or the file cannot be written.

    Example:
        >>> from pathlib import Path
        >>> from rvm_studio import core
        >>> with core.atomic_file(Path("notes.txt")) as partial:
        ...     written = partial.write_text("complete")
        >>> Path("notes.txt").read_text()
        'complete'
    """
    partial = path.with_name(f"{path.stem}.partial{path.suffix}")
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        yield partial
        os.replace(partial, path)
    except BaseException:
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)
        raise
