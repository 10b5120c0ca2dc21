"""What every process of the suite imports: once, before it forks."""

import av  # noqa: F401
import rvm_studio.core.cli.main
import rvm_studio.core.cli.matte
import rvm_studio.core.clips.matte_file
import rvm_studio.core.engines  # noqa: F401
import torch  # noqa: F401
