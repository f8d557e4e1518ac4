/** golden-auth without systemd. Arguments: a folder with what it reads, and its socket. Says when it listens. */
import { authServer, readAuthenticator } from '../../images/guest/auth.ts'

const [, , folder = '', socket = ''] = process.argv
authServer(readAuthenticator(folder)).listen(socket, () => console.log('listening'))
