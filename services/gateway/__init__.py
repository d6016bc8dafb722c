"""The gateway: stitches the mesh's services into one spoken conversation, over gRPC and over WebRTC."""
