"""The methods, one file each: a file that registers here is in the menu, in the tests and in the leaderboard."""
