#!/usr/bin/env node
import "./commands/vequinox.ts"
