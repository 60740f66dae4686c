"""The fly surrogate: real connections where they are at hand, generated ones elsewhere, and a hidden teacher."""
