_EXT_AVAILABLE = False


def _register():
    pass
