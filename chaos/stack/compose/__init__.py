"""The user's own Compose files read into a `Stack`."""

from chaos.stack.compose.load import load_stack

__all__ = ["load_stack"]
