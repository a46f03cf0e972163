"""Folders of images that packages bring, one folder a class, to try `urepa demo --images` on; nothing is installed.

    apt-get download wesnoth-1.16-data && python tests/public_images.py sprites wesnoth-1.16-data_*.deb SPRITES
    npm pack emoji-datasource-google && python tests/public_images.py emoji emoji-datasource-google-*.tgz EMOJI

Sprites: units of the game Wesnoth, 72×72, by people. Emoji: Google's, 64×64, by category, with their skin tones."""
import argparse
import io
import json
import subprocess
import tarfile
from pathlib import Path

units = 'data/core/images/units/'

def sprites(package):
    "Of a Debian package: pairs of a place in the new folder and a file's bytes."
    unpacked = subprocess.run(['dpkg-deb', '--fsys-tarfile', package], capture_output=True, check=True).stdout
    with tarfile.open(fileobj=io.BytesIO(unpacked)) as tar:
        for o in tar:
            place = o.name.partition(units)[2]
            if o.isfile() and '/' in place and place.endswith('.png'): yield place, tar.extractfile(o).read()

def emoji(package):
    "Of a package of npm: the same."
    with tarfile.open(package) as tar:
        files = [o for o in tar if o.isfile() and ('/64/' in o.name or o.name.endswith('/emoji.json'))]
        held = {o.name:tar.extractfile(o).read() for o in files}
    for o in json.loads(held['package/emoji.json']):
        for one in [o, *o.get('skin_variations', {}).values()]:
            data = held.get(f"package/img/google/64/{one['image']}")
            if data: yield f"{o['category']}/{one['image']}", data

kinds = dict(sprites=sprites, emoji=emoji)

def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('kind', choices=kinds)
    parser.add_argument('package', type=Path, help='the file that the client has fetched')
    parser.add_argument('out', type=Path, help='the new folder')
    args = parser.parse_args()
    count = 0
    for place, data in kinds[args.kind](args.package):
        path = args.out/place
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        count += 1
    print(f'{count:,} images in {args.out}')

if __name__=='__main__': main()
