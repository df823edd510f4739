import type { Command } from 'commander';
import { readConfigFile } from '@poolmeter/service';
import type { CommandContext } from '../command-context.js';
import { createPrinter } from '../printer.js';
import { addRedrive } from './pipeline-redrive.js';
import { roles } from './role-definitions.js';

interface RoleFlags {
  readonly config?: string;
  readonly checkConfig?: boolean;
}

/** `poolmeter collector`, `pipeline`, `alerts`, `billing`, `autoscaler`, `api`: one role each. */
export function addRoles(program: Command, context: CommandContext): void {
  const { env, terminal } = context;
  for (const role of roles) {
    const command = program
      .command(role.name)
      .description(`${role.summary} (settings: ${role.prefix}_…)`)
      .option('--config <file>', 'YAML or JSON file with settings; variables win over it')
      .option('--check-config', 'print the settings with secrets masked, and leave')
      .action(async (flags: RoleFlags) => {
        const fileValues = flags.config === undefined ? {} : readConfigFile(flags.config);
        const { masked, run } = await role.prepare(env, fileValues);
        if (flags.checkConfig === true) createPrinter(terminal, true).value(masked);
        else await run();
      });
    if (role.name === 'pipeline') addRedrive(command, context);
  }
}
