"""The kind `workflow`: a caller's own graph, admitted by an allow-list of node classes. A caller's
graph reaches ComfyUI through here and no other way."""
