"""Writes the weights of a GGUF file as transformers has them; it runs in the environment of transformers."""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

source, target = map(Path, sys.argv[1:])
where = {"pretrained_model_name_or_path": source.parent, "gguf_file": source.name}
model = AutoModelForCausalLM.from_pretrained(
    **where, quantization_config=GgufConfig(dequantize=True), dtype=torch.float32
)
model.save_pretrained(target)
AutoTokenizer.from_pretrained(**where).save_pretrained(target)
