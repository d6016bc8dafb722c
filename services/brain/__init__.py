"""The brain service: answers what users say."""
