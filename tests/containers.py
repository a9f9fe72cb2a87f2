"""Containers of video: by the name of a file its codec and the options of its format."""

CONTAINERS = {
    "v.mp4": ("libx264", {}),
    "front.mp4": ("libx264", {"movflags": "faststart"}),
    "parts.mp4": ("libx264", {"movflags": "frag_keyframe+empty_moov"}),
    "v.mov": ("libx264", {}),
    "v.mkv": ("libx264", {}),
    "v.webm": ("libvpx", {}),
    "v.avi": ("mpeg4", {}),
    "v.wmv": ("wmv2", {}),
    "v.flv": ("flv1", {}),
    "v.ts": ("mpeg2video", {}),
}
