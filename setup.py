"Reads settings.ini, the one place that holds name, version, requirements and commands."
import sys
from configparser import ConfigParser
from pathlib import Path
from setuptools import find_packages, setup

here = Path(__file__).parent
parser = ConfigParser(delimiters=['='], interpolation=None)
parser.read(here/'settings.ini', encoding='utf-8')
cfg = parser['DEFAULT']

# An editable install finds data/ in the clone. Laid out so, setuptools puts the clone on sys.path, where the package wins
# over a folder of its name: the clone itself, seen from the folder that holds it.
editable = 'editable_wheel' in sys.argv

def listed(key): return [o for o in map(str.strip, cfg[key].splitlines()) if o]

setup(
    name=cfg['name'], version=cfg['version'], description=cfg['description'], author=cfg['author'],
    keywords=cfg['keywords'].split(),
    long_description=(here/'README.md').read_text(encoding='utf-8'), long_description_content_type='text/markdown',
    python_requires=f">={cfg['min_python']}", install_requires=listed('requirements'),
    extras_require={'dev': listed('dev_requirements')},
    entry_points={'console_scripts': listed('console_scripts'), 'nbdev': [f"{cfg['name']}={cfg['name']}._modidx:d"]},
    packages=find_packages(include=['urepa', 'urepa.*']) + ([] if editable else ['urepa.assets']),
    package_dir={'': '.'} if editable else {'urepa.assets': 'data'},
    package_data={'urepa.assets': ['**/*']}, include_package_data=False, zip_safe=False)
