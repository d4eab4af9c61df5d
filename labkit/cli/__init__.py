"""The ``labkit`` command: one file a command, ``entry`` before them, ``console`` beside them."""
