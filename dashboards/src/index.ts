export {
  buildDashboards,
  checkDashboards,
  writeDashboards,
  type FileMismatch,
  type GeneratedFile,
} from './build-dashboards.js';
export { loadBoards } from './load-boards.js';
