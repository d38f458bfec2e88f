from types import SimpleNamespace


def device(kind, index):
    return SimpleNamespace(type=kind, index=index)


cuda = SimpleNamespace(
    is_initialized=lambda: False,
    is_available=lambda: False,
    device_count=lambda: 0,
    current_device=lambda: 0,
    memory_stats=lambda device=None: {},
    mem_get_info=lambda device=None: (1, 1),
    get_device_name=lambda device=None: "shown",
)
