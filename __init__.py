"""RVM Studio: video matting for creators.

Importing this package has no side effects and imports no torch; take what is needed from `rvm_studio.core`.
"""

__version__ = "0.1.0"
