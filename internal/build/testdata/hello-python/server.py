import platform
import sys

if __name__ == "__main__":
    print("hello from Python", platform.python_version())
    sys.exit(0)
