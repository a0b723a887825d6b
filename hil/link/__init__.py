"""The link emulator: a user-space UDP relay with rate, light time, contact plan and faults. No root, no kernel
module.
"""
