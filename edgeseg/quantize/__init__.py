"""Static post-training quantization of an exported model to INT8: ONNX with Q/DQ pairs. Knows no torch."""
