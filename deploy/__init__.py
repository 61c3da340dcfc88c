"""What is checked about the deployment before AWS sees it. See check.py for what it covers and why."""
