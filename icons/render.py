#!/usr/bin/env python3
"""Renders the drawings beside this file: tray states for panels of any colour, and as templates that macOS colours itself, and the app's icon as
PNG, ICO and ICNS.

Needs rsvg-convert (Debian: librsvg2-bin). The results are committed, so that nobody needs this to build.
"""
import pathlib
import re
import struct
import subprocess

HERE = pathlib.Path(__file__).parent
# Light lines with a dark rim are seen on a panel of any colour, and nobody has to ask which one it has. Shape tells the state; this is no
# colour code.
LINE, RIM = "#f5f7f8", "#161d21"
LINE_WIDTH, RIM_WIDTH = "2.2", "4.6"
TRAY_PX = 64
APP_PX = [16, 24, 32, 48, 64, 128, 256, 512]
ICO_PX = [16, 24, 32, 48, 64, 256]
ICNS = {16: b"icp4", 32: b"icp5", 64: b"icp6", 128: b"ic07", 256: b"ic08", 512: b"ic09"}


def render(svg, size):
    command = ["rsvg-convert", "-w", str(size), "-h", str(size)]
    return subprocess.run(command, input=svg.encode(), check=True, capture_output=True).stdout


def tray():
    for source in sorted((HERE / "states").glob("*.svg")):
        svg = source.read_text()
        head, lines = re.fullmatch(r"(<svg [^>]*>)(.*)</svg>\s*", svg, re.DOTALL).groups()
        rim = f'<g fill="{RIM}" stroke="{RIM}" stroke-width="{RIM_WIDTH}">{lines}</g>'
        both = f'{head}{rim}<g stroke="{LINE}" stroke-width="{LINE_WIDTH}">{lines}</g></svg>'
        # The rim needs room around the drawing.
        (HERE / "tray" / f"{source.stem}.png").write_bytes(render(both.replace("0 0 24 24", "-0.6 -0.6 25.2 25.2"), TRAY_PX))
        (HERE / "tray" / f"{source.stem}-template.png").write_bytes(render(svg.replace("currentColor", "#000000"), TRAY_PX))


def app():
    svg = (HERE / "app" / "tillsync.svg").read_text()
    pictures = {size: render(svg, size) for size in APP_PX}
    for size, picture in pictures.items():
        (HERE / "app" / f"{size}.png").write_bytes(picture)
    entries, offset = b"", 6 + 16 * len(ICO_PX)
    for size in ICO_PX:
        entries += struct.pack("<BBBBHHII", size % 256, size % 256, 0, 0, 1, 32, len(pictures[size]), offset)
        offset += len(pictures[size])
    ico = struct.pack("<HHH", 0, 1, len(ICO_PX)) + entries + b"".join(pictures[size] for size in ICO_PX)
    (HERE / "app" / "tillsync.ico").write_bytes(ico)
    parts = b"".join(kind + struct.pack(">I", len(pictures[size]) + 8) + pictures[size] for size, kind in ICNS.items())
    (HERE / "app" / "tillsync.icns").write_bytes(b"icns" + struct.pack(">I", len(parts) + 8) + parts)


(HERE / "tray").mkdir(exist_ok=True)
tray()
app()
