"""For worker processes that import this: it takes a while."""

import time

time.sleep(1.5)
