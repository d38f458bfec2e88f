def list_backends():
    return {}
