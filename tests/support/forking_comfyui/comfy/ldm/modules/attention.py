registered = []
register_attention_function = registered.append
COMFY_KITCHEN_INT8_ATTENTION_IS_AVAILABLE = False
if COMFY_KITCHEN_INT8_ATTENTION_IS_AVAILABLE:
    register_attention_function("comfy_kitchen_int8")
