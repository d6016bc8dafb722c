"""What a GPU runs in place of torch's own operations: Triton kernels that read a stream's memory where it lies.

Imported only where a GPU runs Mimi; the rest of the service neither needs nor loads Triton.
"""
