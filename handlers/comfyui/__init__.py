"""ComfyUI as a server: its process, the client of its HTTP and WebSocket protocol, and what its
answers mean. It runs one prompt at a time and knows nothing of jobs."""
