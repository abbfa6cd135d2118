"""What customers' programs call: the OpenAI-compatible gateway."""
