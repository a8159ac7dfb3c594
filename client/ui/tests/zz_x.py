import subprocess, time
from test_usb_cd import iso
from test_faults import shown
import test_usb_cd as t
def test_x(real, moving, iso):
    name = moving("With a USB CD", "--start")
    app = shown(real, name)
    g = subprocess.Popen(["gdb","-p",str(app.process.pid),"-batch","-ex","handle SIGPIPE nostop","-ex","continue","-ex","bt 45"],stdout=open("/tmp/art-e2e/gdb.log","w"),stderr=subprocess.STDOUT)
    time.sleep(8)
    try:
        t.share_iso(app, iso)
    finally:
        time.sleep(5)
