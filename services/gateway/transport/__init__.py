"""How callers reach a conversation: gRPC, HTTP and WebRTC."""
