"""Networks of other libraries, by `hf:` and `timm:`: their folders, and how they become backbones."""
