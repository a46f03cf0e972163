"The names that `urepa` hands on: what callers may rely on."
import importlib
import pkgutil

import pytest
from checkout import root, scripts, succeed
from forks import command, execute

import urepa

names = [o for o in urepa.__all__ if o!='__version__']
rooms = {o.name for o in pkgutil.iter_modules(urepa.__path__)}

def fresh(code):
    "What a new interpreter prints."
    return succeed(scripts/'python', '-c', code).strip()

def test_importing_the_package_loads_no_torch():
    assert fresh('import sys, urepa; dir(urepa); print("torch" in sys.modules)')=='False'

def test_no_name_is_that_of_a_room():
    "Importing a room sets an attribute of the package, which would replace the name."
    assert not rooms&set(names), f'{sorted(rooms&set(names))} are rooms too; call one of the two differently'

def test_every_name_is_there():
    lacking = [f'{o} in {urepa._home[o]}' for o in names
               if not hasattr(importlib.import_module(f'urepa.{urepa._home[o]}'), o)]
    assert not lacking, f'{lacking} are handed on by urepa and do not exist'

def told(code):
    "What a process prints that has the libraries, and nothing of the package."
    done = command(code, cwd=root, function=execute).done()
    assert done.returncode==0, done.stderr
    return done.stdout.split()

def test_names_are_the_same_whatever_was_imported_before():
    rooms = 'training.train', 'flow.sample', 'score.draw', 'score.evaluate', 'score.compare'
    first = '; '.join(f'import urepa.{o}' for o in rooms)
    asked = '; '.join(f"print(urepa.{o.split('.')[1]}.__module__)" for o in rooms)
    assert told(f'{first}; import urepa; {asked}')==[f'urepa.{o}' for o in rooms]
    assert told('from urepa import train; print(train.__module__)')==['urepa.training.train']

def test_an_unknown_name_is_refused():
    with pytest.raises(AttributeError, match='no attribute'): urepa.nothing
